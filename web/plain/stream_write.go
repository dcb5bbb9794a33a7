package plain

import (
	"fmt"
	"net/http"
	"time"

	"github.com/meshrt/meshrt/web/ws"
)

// run writes the stream until its end.
func (e *stream) run(r *http.Request) {
	interval := e.server.cfg.PingInterval
	idle := time.NewTimer(interval)
	defer idle.Stop()
	streamHeader(e.w)
	ok := e.writeText(e.opening())
	for ok {
		batch, open := e.take()
		switch {
		case len(batch) > 0:
			ok = e.writeBatch(batch)
			clear(batch)
			idle.Reset(interval)
		case !open:
			e.farewell()
			return
		default:
			select {
			case <-e.wake:
			case <-e.ended:
			case <-r.Context().Done():
				e.end(reasonClose)
			case <-idle.C:
				ok = e.writeText(beatLine)
				idle.Reset(interval)
			}
		}
	}
}

// opening is what a client gets first. The comment is for people: a browser's
// EventSource does not show it. A new session's id comes behind the gap: a client that has it knows of that.
func (e *stream) opening() string {
	text := fmt.Sprintf("retry: %d\n: session %s\n\n", firstRetry, e.session.ID())
	if e.lastID() != "" && !e.resumed {
		text += gap
	}
	if e.server.node.Recovery() > 0 && !e.session.Recovered() {
		text += "id: " + string(e.tail)
	}
	return text
}

// farewell tells the clients of a node that stops when to come back.
func (e *stream) farewell() {
	if e.why() == reasonShutdown {
		e.writeText(fmt.Sprintf("retry: %d\n\n", drawRetry()))
	}
}

func (e *stream) writeText(text string) bool {
	return e.write(func() error {
		_, err := e.w.Write([]byte(text))
		return err
	})
}

// writeBatch is the one place where events go out.
func (e *stream) writeBatch(batch []*ws.Group) bool {
	bytes := 0
	ok := e.write(func() error {
		for _, g := range batch {
			for _, f := range g.Frames() {
				if _, err := e.w.Write(f.Data); err != nil {
					return err
				}
				if f.Data[len(f.Data)-1] == '\n' {
					continue
				}
				if _, err := e.w.Write(e.tail); err != nil {
					return err
				}
				bytes += len(e.tail)
			}
			bytes += g.Size()
		}
		return nil
	})
	if ok {
		traffic := &e.server.counters.streams.traffic
		traffic.MessagesOut.Add(uint64(len(batch)))
		traffic.BytesOut.Add(uint64(bytes))
	}
	return ok
}

// write lets part write, and flushes once. HTTP/2 has no error that tells a write
// that took too long from a client that is gone, so that the clock does.
func (e *stream) write(part func() error) bool {
	deadline := e.allowWrite()
	err := part()
	if err == nil {
		err = e.rc.Flush()
	}
	e.letGo()
	switch {
	case err == nil:
		return true
	case time.Now().Before(deadline):
		e.end(reasonClose)
	default:
		e.end(reasonSlow)
	}
	return false
}

// allowWrite gives a write its deadline. An end before it has set the deadline of
// all that follows; one after it sets that itself.
func (e *stream) allowWrite() time.Time {
	deadline := time.Now().Add(e.server.cfg.PingTimeout)
	e.rc.SetWriteDeadline(deadline)
	e.mu.Lock()
	e.writing = true
	ended := e.reason != 0
	if ended {
		deadline = e.deadline
	}
	e.mu.Unlock()
	if ended {
		e.rc.SetWriteDeadline(deadline)
	}
	return deadline
}

// letGo says that nothing is being written. When it returns, nobody else touches
// the response. HTTP/2 cuts a stream at its deadline, also when nothing is written.
func (e *stream) letGo() {
	e.mu.Lock()
	e.writing = false
	ended := e.reason != 0
	e.mu.Unlock()
	if !ended {
		e.rc.SetWriteDeadline(noDeadline)
	}
	e.hurry.Wait()
}

// finish is the last act, when the response is over.
func (e *stream) finish() {
	s := e.server
	defer s.roster.Leave()
	e.end(reasonPanic) // only that gets here without a reason
	e.mu.Lock()
	why, slow := e.reason, e.slow
	e.out.Drop() // handlers may keep the session
	e.mu.Unlock()
	s.left(&s.counters.streams, e.handshake, why, slow)
	s.log.Debug("event stream ended", "addr", e.handshake.Remote, "reason", why.String())
	if why == reasonServer {
		e.session.Close(why.official())
	} else {
		e.session.Lost(why.official()) // a stream has no goodbye
	}
}
