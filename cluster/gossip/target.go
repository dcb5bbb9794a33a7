package gossip

import "time"

const (
	bookAge    = 24 * time.Hour // since it was last a member's
	hearsayAge = 10 * time.Minute
	recent     = 10 * time.Minute
	thisHour   = time.Hour
	// aliasRetry is for an address that answers and is no member's: our own
	// other address, or a load balancer in front of all nodes.
	aliasRetry = 30 * time.Second
	slowRetry  = 30 * time.Second
	staleRetry = 5 * time.Minute
)

// target is an address where a node may be.
type target struct {
	seed     bool
	member   bool      // it was a member's, not only heard of
	seen     time.Time // when it last was, or was heard of
	tried    time.Time // last, or when last a member's; zero: never
	recalled bool      // from an earlier run, and not yet tried in this one
	asked    bool      // to be tried at once, even if a member is there
	busy     bool      // being tried
	ok       bool      // answered when tried last, and was no member's since
	err      error     // failed when tried last, and was no member's since
}

// fresh tells that it is not known yet whether there is a node, or which.
func (t *target) fresh() bool { return (t.asked || t.tried.IsZero()) && !t.busy }

// due tells whether it is time to try it. Those that were members a short time
// ago are tried at every tick, so that a partition heals at once; the longer an
// address is gone, the less it shall take from the others.
func (t *target) due(now time.Time) bool {
	if t.busy {
		return false
	}
	return t.fresh() || now.Sub(t.tried) >= t.retry(now)
}

func (t *target) retry(now time.Time) time.Duration {
	gone := now.Sub(t.seen)
	switch {
	case t.ok:
		return aliasRetry
	case t.seed || gone < recent:
		return 0
	case gone < thisHour:
		return slowRetry
	}
	return staleRetry
}

// expired tells whether it can be forgotten.
func (t *target) expired(now time.Time) bool {
	age := hearsayAge
	if t.member {
		age = bookAge
	}
	return !t.seed && !t.busy && now.Sub(t.seen) >= age
}
