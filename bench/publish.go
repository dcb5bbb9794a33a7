package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/meshrt/meshrt/bench/swarm"
)

// maxBatch limits what is written to the publishers at once, in bytes of frames.
const maxBatch = 64 << 10

// press sends the messages of a run. It is of one goroutine.
type press struct {
	crowd   *crowd
	swarm   *swarm.Swarm
	conns   []*swarm.Conn // of the publishers
	before  [][]byte      // by room
	after   []byte
	sent    []uint32  // by stream
	lag     Histogram // from due to written
	frames  [][]byte  // by publisher, not written yet
	touched []int     // publishers with frames
	bytes   int       // of frames
	text    []byte
}

func newPress(w *crowd, s *swarm.Swarm, conns []*swarm.Conn) *press {
	p := &press{crowd: w, swarm: s, conns: conns, sent: make([]uint32, w.plan.allStreams()), frames: make([][]byte, len(conns))}
	for _, room := range w.rooms {
		before, after := w.dialect.publish(room)
		p.before, p.after = append(p.before, before), after
	}
	return p
}

// expected is how many deliveries all that was sent makes.
func (p *press) expected() (n int64) {
	for _, sent := range p.sent {
		n += int64(sent) * int64(p.crowd.plan.perRoom)
	}
	return n
}

// run sends what is due before the time until, each message when it is due,
// whatever became of those before. When it is late it sends what is due at once,
// and latency counts from when it was due all the same.
func (p *press) run(ctx context.Context, s schedule, until int64) error {
	streams, end := int64(len(p.sent)), s.count(until)
	for i := int64(0); i < end; {
		if err := sleepUntil(ctx, p.swarm, s.at(i)); err != nil {
			return err
		}
		from, due := i, min(s.count(p.swarm.Now()+1), end)
		for ; i < due && p.bytes < maxBatch; i++ {
			p.add(int(i%streams), s.at(i))
		}
		p.flush()
		for now := p.swarm.Now(); from < i; from++ {
			p.lag.Record(time.Duration(now - s.at(from)))
		}
	}
	return nil
}

// runUnlimited sends until the time until, with at most window messages on their way.
func (p *press) runUnlimited(ctx context.Context, window int, until int64) error {
	tick := time.NewTicker(10 * time.Millisecond) // the end is noticed without arrivals too
	defer tick.Stop()
	for p.swarm.Now() < until {
		free := int64(window) - (p.expected() - p.crowd.unique())
		for ; free > 0 && p.bytes < maxBatch; free-- {
			p.add(0, p.swarm.Now())
		}
		p.flush()
		if free > 0 {
			continue
		}
		select {
		case <-p.crowd.arrived:
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("while publishing: %w", ctx.Err())
		}
	}
	return nil
}

// add makes the next message of a stream.
func (p *press) add(stream int, due int64) {
	plan := p.crowd.plan
	publisher := plan.publisher(stream)
	if len(p.frames[publisher]) == 0 {
		p.touched = append(p.touched, publisher)
	}
	p.text = append(p.text[:0], p.before[plan.roomOf(stream)]...)
	p.text = p.crowd.stamper.append(p.text, stamp{uint32(stream), p.sent[stream], due})
	p.text = append(p.text, p.after...)
	had := len(p.frames[publisher])
	p.frames[publisher] = p.conns[publisher].Append(p.frames[publisher], swarm.Text, p.text, rand.Uint32())
	p.bytes += len(p.frames[publisher]) - had
	p.sent[stream]++
}

// flush writes what was added. What a connection does not take any more is lost,
// and counted by those that wait for it.
func (p *press) flush() {
	for _, i := range p.touched {
		if err := p.conns[i].Write(p.frames[i]); err != nil {
			p.crowd.note(p.conns[i].ID, err)
		}
		p.frames[i] = p.frames[i][:0]
	}
	p.touched, p.bytes = p.touched[:0], 0
}

// longestSleep is how late the end of a context may be noticed.
const longestSleep = 50 * time.Millisecond

// sleepUntil waits for a time of the swarm's clock.
func sleepUntil(ctx context.Context, s *swarm.Swarm, t int64) error {
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("while publishing: %w", err)
		}
		left := time.Duration(t - s.Now())
		if left <= 0 {
			return nil
		}
		sleep(min(left, longestSleep))
	}
}
