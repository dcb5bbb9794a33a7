package ws

import "time"

// Pace holds the messages of one client to a rate: a virtual clock that each
// message moves on by 1/rate, and that may be ahead of the real one by the time of
// a burst (the generic cell rate algorithm, ITU-T I.371). One goroutine at a time
// uses it. The zero value lets everything through.
type Pace struct {
	interval, burst time.Duration // of one message; by which the clock may be ahead
	clock           time.Time
}

// paceBurst is how much may come at once: the messages of two seconds.
const paceBurst = 2 * time.Second

// NewPace allows rate messages a second, and those of two seconds at once, one at
// least. Zero and below is no limit.
func NewPace(rate int) Pace {
	if rate <= 0 {
		return Pace{}
	}
	interval := max(time.Second/time.Duration(rate), 1)
	return Pace{interval: interval, burst: max(paceBurst, interval)}
}

// Limited says that there is a limit.
func (p *Pace) Limited() bool { return p.interval > 0 }

// Next counts a message in and returns how long it must wait for its turn.
func (p *Pace) Next(now time.Time) time.Duration {
	if p.interval == 0 {
		return 0
	}
	if p.clock.Before(now) {
		p.clock = now
	}
	p.clock = p.clock.Add(p.interval)
	return max(p.clock.Sub(now)-p.burst, 0)
}
