package forward

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/meshrt/meshrt/web/ws"
	"github.com/meshrt/meshrt/wire"
)

const (
	// maxTries is how many nodes are asked to take a client: the first may be about to leave, too, or full.
	maxTries = 3
	// openTimeout is how long one of them may take to answer.
	openTimeout = 2 * time.Second
)

// ErrNobody says that no other node takes a client.
var ErrNobody = errors.New("forward: no other node takes the client")

var errSilent = errors.New("forward: the node does not answer")

// Open has another node serve the request with which a client comes, as this one takes none any more: a GET without a session id. After
// an error nothing of an answer was written: there is no other node, or those that were asked refuse the client.
func (f *Forwarder) Open(w http.ResponseWriter, r *http.Request) error {
	release, err := f.reserve(r)
	if err != nil {
		f.counts.out[busy].Add(1)
		return err
	}
	defer release()
	for _, id := range f.takers() {
		if f.openAt(id, w, r) == nil || r.Context().Err() != nil {
			return nil
		}
	}
	return ErrNobody
}

func (f *Forwarder) openAt(id wire.NodeID, w http.ResponseWriter, r *http.Request) error {
	p, err := f.enter(id)
	if err != nil {
		f.counts.out[resultOf(err)].Add(1)
		return err
	}
	defer f.leave(p)
	return f.exchange(&exchange{peer: p, in: r, w: w, opens: true})
}

// takers are some nodes with a link; a map's keys come in random order.
func (f *Forwarder) takers() (ids []wire.NodeID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, p := range f.peers {
		if p.linked && len(ids) < maxTries {
			ids = append(ids, id)
		}
	}
	return ids
}

// hasten gives a node that is asked to take a client its time to answer.
func (x *exchange) hasten() {
	if x.opens {
		x.late = time.AfterFunc(openTimeout, func() { x.cancel(errSilent) })
	}
}

// taken says whether a node takes the client: what it refuses another one may not.
func (x *exchange) taken(status int) error {
	switch {
	case !x.opens:
		return nil
	case !x.late.Stop():
		return errSilent
	case status != http.StatusOK && status != http.StatusSwitchingProtocols:
		return fmt.Errorf("node %s does not take the client: %s", x.peer.name, http.StatusText(status))
	}
	return nil
}

// Write implements http.ResponseWriter. An answer that opens an event stream has no end: each part of it has its time.
func (h *hijacker) Write(b []byte) (int, error) {
	if h.x.opens {
		http.NewResponseController(h.ResponseWriter).SetWriteDeadline(time.Now().Add(h.timeout))
	}
	return h.ResponseWriter.Write(b)
}

// FlushError is for http.ResponseController. HTTP/2 cuts a stream at its deadline, also when nothing is written.
func (h *hijacker) FlushError() error {
	rc := http.NewResponseController(h.ResponseWriter)
	err := rc.Flush()
	if h.x.opens && h.x.in.ProtoMajor > 1 {
		rc.SetWriteDeadline(time.Time{})
	}
	return err
}

// lettingGo is how long what a client has opened here may go on when the node that has its connection leaves. Sessions of
// Engine.IO end at once, in order; others know nothing of leaving.
const lettingGo = time.Second

// bind has what a request opens here end with the node that has the client's connection. It is over when unbind is called.
func (c *inConn) bind(r *http.Request, leaving context.Context) (bound *http.Request, unbind func()) {
	ctx, cut := context.WithCancel(r.Context())
	stay := context.AfterFunc(leaving, func() {
		select {
		case <-time.After(lettingGo):
			cut()
			if ws.IsUpgrade(r) { // it has the connection for itself
				c.Conn.Close()
			}
		case <-ctx.Done():
		}
	})
	return r.WithContext(ctx), func() {
		stay()
		cut()
	}
}
