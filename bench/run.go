package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshrt/meshrt/bench/swarm"
)

// maxHandshakes limits the connects under way at a time, but for the storm: fewer
// than the backlog of a listener.
const maxHandshakes = 128

// settle is how long a run waits for doubled messages behind the last.
const settle = 300 * time.Millisecond

// poll is how often the state of a run is looked at.
const poll = 5 * time.Millisecond

// run is one run.
type run struct {
	config  Config
	plan    plan
	crowd   *crowd
	swarm   *swarm.Swarm
	targets []swarm.Target
	press   *press
	report  *Report
	pss     []int64 // of the servers before the first client
}

// Run makes the run that c describes. What the server did wrong is in the report,
// Faults; an error says that the run could not be made. It blocks until all
// connections are closed.
func Run(ctx context.Context, c Config) (*Report, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	r := &run{config: c, plan: newPlan(c), report: newReport(c)}
	id := rand.Uint32()
	r.crowd = newCrowd(c, r.plan, id)
	path, query := r.crowd.dialect.path()
	for _, u := range c.URLs {
		t, err := swarm.ParseTarget(ctx, u, path, query)
		if err != nil {
			return nil, err
		}
		if c.Protocol == NATS {
			t.Split = splitNATS
		}
		r.targets = append(r.targets, t)
	}
	var err error
	if r.pss, err = r.memory(); err != nil {
		return nil, err
	}
	if r.swarm, err = swarm.New(r.plan.conns(), c.Loops, r.crowd); err != nil {
		return nil, err
	}
	if err := r.within(ctx); err != nil {
		return nil, err
	}
	r.finish()
	return r.report, nil
}

// within runs the scenario while the swarm runs.
func (r *run) within(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	ctx, end := context.WithCancel(ctx)
	defer end()
	g.Go(func() error { return r.swarm.Run(ctx) })
	g.Go(func() error {
		defer end()
		switch r.config.Scenario {
		case Connect:
			return r.storm(ctx)
		case Idle:
			return r.idle(ctx)
		case Ramp:
			return r.ramp(ctx)
		}
		return r.load(ctx)
	})
	return g.Wait()
}

// connect connects all clients and waits until they have joined.
func (r *run) connect(ctx context.Context) error {
	began := r.swarm.Now()
	ctx, cancel := context.WithTimeout(ctx, r.config.ConnectTimeout)
	defer cancel()
	var publishers []*swarm.Conn
	for i := range r.plan.conns() {
		select {
		case r.crowd.slots <- struct{}{}:
		case <-ctx.Done():
			return r.notJoined(ctx)
		}
		c, err := r.dialOne(i)
		if err != nil {
			return err
		}
		if i < r.plan.publishers {
			publishers = append(publishers, c)
		}
	}
	if !r.wait(ctx, func() bool { return r.crowd.joined.Load() == int64(r.plan.conns()) || r.crowd.noted() != nil }) || r.crowd.noted() != nil {
		return r.notJoined(ctx)
	}
	r.report.JoinSeconds = seconds(r.swarm.Now() - began)
	r.press = newPress(r.crowd, r.swarm, publishers)
	return nil
}

// dialOne begins connection i, to the URLs round robin.
func (r *run) dialOne(i int) (*swarm.Conn, error) {
	r.crowd.clients[i].due = r.swarm.Now()
	target := r.targets[i%len(r.targets)]
	target.Narrow = r.plan.isSlow(i)
	return r.swarm.Dial(target)
}

// notJoined is why not all clients have joined.
func (r *run) notJoined(ctx context.Context) error {
	what := fmt.Sprintf("%d of %d clients joined", r.crowd.joined.Load(), r.plan.conns())
	if err := r.crowd.noted(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%s within %v: does the server acknowledge %s?", what, r.config.ConnectTimeout, r.config.Join)
	}
	return fmt.Errorf("%s: %w", what, ctx.Err())
}

// wait waits until a condition holds, or the end of ctx.
func (r *run) wait(ctx context.Context, ok func() bool) bool {
	t := time.NewTicker(poll)
	defer t.Stop()
	for !ok() {
		select {
		case <-t.C:
		case <-ctx.Done():
			return ok()
		}
	}
	return true
}

// until waits for a time of the swarm's clock.
func (r *run) until(ctx context.Context, t int64) error {
	select {
	case <-time.After(time.Duration(t - r.swarm.Now())):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// drain waits until all that was sent has come, or nothing comes for so long. Then
// it stays a moment, as doubled messages come behind.
func (r *run) drain(ctx context.Context, patience time.Duration) error {
	expected, got, since := r.press.expected(), int64(-1), time.Now()
	r.wait(ctx, func() bool {
		if now := r.crowd.unique(); now != got {
			got, since = now, time.Now()
		}
		return got == expected || time.Since(since) > patience
	})
	return r.until(ctx, r.swarm.Now()+int64(settle))
}

// sample is what all have used at one moment.
type sample struct {
	at        int64           // nanoseconds of Swarm.Now
	servers   []time.Duration // CPU time, in the order of Config.PIDs
	self      time.Duration   // CPU time of this process
	busy      time.Duration   // of the busiest loop
	delivered int64
}

func (r *run) sample() (s sample, err error) {
	s = sample{at: r.swarm.Now(), self: ownCPU(), busy: time.Duration(r.swarm.Busy()), delivered: r.crowd.unique()}
	for _, pid := range r.config.PIDs {
		cpu, err := readCPU(pid)
		if err != nil {
			return s, err
		}
		s.servers = append(s.servers, cpu)
	}
	return s, nil
}

// memory is that of the servers, in bytes.
func (r *run) memory() (list []int64, err error) {
	for _, pid := range r.config.PIDs {
		pss, err := readPSS(pid)
		if err != nil {
			return nil, err
		}
		list = append(list, pss)
	}
	return list, nil
}

func seconds(nanoseconds int64) float64 { return time.Duration(nanoseconds).Seconds() }
