package bench

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// lead is the time between the last join and the first message.
const lead = 20 * time.Millisecond

// load is fanout, rooms and hop.
func (r *run) load(ctx context.Context) error {
	if err := r.connect(ctx); err != nil {
		return err
	}
	start := r.swarm.Now() + int64(lead)
	from := start + int64(r.config.Warmup)
	until := from + int64(r.config.Duration)
	r.crowd.from.Store(from)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if r.config.Unlimited {
			return r.press.runUnlimited(gctx, r.config.Window, until)
		}
		return r.press.run(gctx, schedule{start, r.config.Rate}, until)
	})
	g.Go(func() error { return r.measure(gctx, from, until) })
	if err := g.Wait(); err != nil {
		return err
	}
	if err := r.drain(ctx, r.config.Tail); err != nil {
		return err
	}
	r.report.Latency = latencyOf(r.crowd.latencies(false), 0)
	return r.remember()
}

// measure takes what was used between two times.
func (r *run) measure(ctx context.Context, from, until int64) error {
	if err := r.until(ctx, from); err != nil {
		return err
	}
	before, err := r.sample()
	if err != nil {
		return err
	}
	if err := r.until(ctx, until); err != nil {
		return err
	}
	after, err := r.sample()
	if err != nil {
		return err
	}
	r.report.used(r.config, before, after)
	return nil
}

// remember takes the memory of the servers, with all clients there.
func (r *run) remember() error {
	pss, err := r.memory()
	if err != nil {
		return err
	}
	r.report.memory(r.pss, pss, int(r.crowd.joined.Load()))
	return nil
}

// idle is connections that join a room and stay.
func (r *run) idle(ctx context.Context) error {
	if err := r.connect(ctx); err != nil {
		return err
	}
	from := r.swarm.Now() + int64(r.config.Warmup)
	if err := r.measure(ctx, from, from+int64(r.config.Duration)); err != nil {
		return err
	}
	return r.remember()
}

// storm is connections that come at a rate, whatever became of those before.
func (r *run) storm(ctx context.Context) error {
	before, err := r.sample()
	if err != nil {
		return err
	}
	s, last := schedule{r.swarm.Now() + int64(lead), r.config.Rate}, int64(0)
	for i := range r.plan.conns() {
		last = s.at(int64(i))
		if err := sleepUntil(ctx, r.swarm, last); err != nil {
			return err
		}
		r.crowd.slots <- struct{}{} // there is one for each
		r.crowd.clients[i].due = last
		if _, err := r.swarm.Dial(r.targets[i%len(r.targets)]); err != nil {
			r.crowd.refused(i, err)
		}
	}
	patient, cancel := context.WithTimeout(ctx, time.Duration(last-r.swarm.Now())+r.config.ConnectTimeout)
	defer cancel()
	r.wait(patient, func() bool { return r.crowd.joined.Load()+r.crowd.failed.Load() == int64(r.plan.conns()) })
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("while connecting: %w", err)
	}
	after, err := r.sample()
	if err != nil {
		return err
	}
	r.report.used(r.config, before, after)
	r.report.JoinSeconds = seconds(after.at - s.start)
	missing := uint64(r.plan.conns()) - uint64(r.crowd.joined.Load())
	r.report.TimeToJoined = latencyOf(r.crowd.latencies(true), missing)
	return r.remember()
}

// maxSteps limits the steps of a ramp.
const maxSteps = 500

// ramp is fan-out at one rate after the other, until one does not hold.
func (r *run) ramp(ctx context.Context) error {
	if err := r.connect(ctx); err != nil {
		return err
	}
	if r.config.Warmup > 0 {
		if _, err := r.step(ctx, r.config.Rate, r.config.Warmup); err != nil {
			return err
		}
	}
	for rate, n := r.config.Rate, 0; rate <= MaxRate && n < maxSteps; rate, n = rate*r.config.Step, n+1 {
		s, err := r.step(ctx, rate, r.config.Duration)
		if err != nil {
			return err
		}
		r.report.Steps = append(r.report.Steps, s)
		if !s.Held {
			break
		}
		r.report.HeldRate = rate
	}
	return r.remember()
}

// step sends at a rate for a time, and waits until all has come or is too late.
func (r *run) step(ctx context.Context, rate float64, duration time.Duration) (Step, error) {
	latencies, lag := r.crowd.latencies(false), Sum(&r.press.lag)
	expected, got := r.press.expected(), r.crowd.unique()
	start := r.swarm.Now() + int64(lead)
	until := start + int64(duration)
	r.crowd.from.Store(start)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.press.run(gctx, schedule{start, rate}, until) })
	g.Go(func() error { return r.measure(gctx, start, until) })
	if err := g.Wait(); err != nil {
		return Step{}, err
	}
	if err := r.drain(ctx, r.config.Limit+time.Second); err != nil {
		return Step{}, err
	}
	missing := (r.press.expected() - expected) - (r.crowd.unique() - got)
	return r.judge(rate, r.crowd.latencies(false).Minus(latencies), Sum(&r.press.lag).Minus(lag), missing), nil
}

// judge is what a step came to. A message that has not come counts as later than all.
func (r *run) judge(rate float64, latencies, lag Counts, missing int64) Step {
	p99, known := latencies.Quantile(0.99, uint64(max(missing, 0)))
	late, _ := lag.Quantile(0.99, 0)
	s := Step{Rate: rate, Latency: *latencyOf(latencies, uint64(max(missing, 0))), Missing: missing, SendLag: milliseconds(late),
		PerSecond: r.report.PerSecond, ServerCPU: r.report.ServerCPU, GeneratorCPU: r.report.Generator.PerDelivery, Busy: r.report.Generator.Busy}
	s.Held = known && p99 <= r.config.Limit && missing == 0
	s.GeneratorLimited = s.Busy > tooBusy || late > r.config.Limit/5
	return s
}

// finish counts what the clients got, after the swarm ended.
func (r *run) finish() {
	w, report := r.crowd, r.report
	report.SlowCut = w.cut.Load()
	report.Joined, report.Failed, report.Disconnected = w.joined.Load(), int64(r.plan.conns())-w.joined.Load(), w.lost.Load()
	if err := w.noted(); err != nil {
		report.FirstError = err.Error()
	}
	if r.press == nil || r.plan.publishers == 0 {
		report.warn(r.config)
		return
	}
	m := &Messages{Delivered: w.unique(), Expected: r.press.expected()}
	for _, n := range r.press.sent {
		m.Sent += int64(n)
	}
	for i := range w.meters {
		m.Doubled += w.meters[i].doubled.Load()
		m.OutOfOrder += w.meters[i].late.Load()
		m.Stray += w.meters[i].stray.Load()
		m.Damaged += w.meters[i].damaged.Load()
	}
	m.Lost = r.lost()
	report.Messages = m
	if !r.config.Unlimited {
		report.SendLag = latencyOf(Sum(&r.press.lag), 0)
	}
	report.warn(r.config)
}

// lost counts what each client did not get of what was sent to it. Numbers that
// nobody sent make no difference: they are strays.
func (r *run) lost() (n int64) {
	for id := r.plan.publishers; id < r.plan.conns(); id++ {
		c := &r.crowd.clients[id]
		for i := range c.tallies {
			n += int64(r.press.sent[int(c.first)+i]) - int64(c.tallies[i].unique)
		}
	}
	return n
}
