package forward

import "sync/atomic"

// result is how a request fared. Each is counted apart.
type result int

const (
	passed result = iota
	canceled
	aborted
	gone
	unreachable
	busy
	tooLarge
	stopped
	forged
	served
	stray
	results // their number
)

var resultNames = [results]string{
	passed: "ok", canceled: "canceled", aborted: "aborted", gone: "gone", unreachable: "unreachable",
	busy: "busy", tooLarge: "too_large", stopped: "stopped", forged: "forged", served: "ok", stray: "stray",
}

// outResults and inResults are those of each direction.
var (
	outResults = []result{passed, canceled, aborted, gone, unreachable, busy, tooLarge, stopped, forged}
	inResults  = []result{served, busy, stray}
)

type counters struct {
	out, in [results]atomic.Uint64
	serving atomic.Int64
}

// Stats are counters since New and the state of now. Each result is there from the
// start.
type Stats struct {
	// Out are requests for sessions of other nodes: ok; canceled by the client;
	// aborted, as the other node broke off its answer; gone, unreachable (the other
	// node); busy (ErrBusy); too_large; stopped (this node); forged (the session id).
	Out map[string]uint64
	// In are requests that other nodes passed on: ok; busy (a websocket, see
	// Config.Reserve); or stray, which no Forwarder sends.
	In map[string]uint64

	Passing int // requests on their way to other nodes, now
	Serving int // requests of other nodes, now
	Conns   int // connections to other nodes for requests, now; websockets have their own
}

// Stats is a snapshot.
func (f *Forwarder) Stats() Stats {
	s := Stats{Out: map[string]uint64{}, In: map[string]uint64{}, Passing: f.passingNow(), Serving: int(f.counts.serving.Load())}
	for _, r := range outResults {
		s.Out[resultNames[r]] = f.counts.out[r].Load()
	}
	for _, r := range inResults {
		s.In[resultNames[r]] = f.counts.in[r].Load()
	}
	for _, p := range f.nodes() {
		s.Conns += p.open()
	}
	return s
}
