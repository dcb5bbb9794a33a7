package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/meshrt/meshrt/bench"
)

// rig makes the runs.
type rig struct {
	site    *site
	log     *slog.Logger
	span    time.Duration // that is measured in each run
	runs    int           // of each measurement and server
	lock    *lock         // held while something is measured
	results *Results
	held    map[string]float64 // by measurement and server: what a ramp held last, messages/s
}

// measurement is one thing that is measured of several servers.
type measurement struct {
	name    string // of -only, without what follows the first space
	servers []string
	run     func(ctx context.Context, r *rig, s server) (values, error)
}

// turns makes all runs of a measurement: each server has its turn, then all again.
func (r *rig) turns(ctx context.Context, m measurement, list []server) error {
	for i := range r.runs {
		for _, s := range list {
			if err := r.lock.hold(ctx); err != nil {
				return err
			}
			v, err := m.run(ctx, r, s)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			result := r.results.of(m.name, s.name)
			if err != nil {
				r.log.Error("run failed", "measurement", m.name, "server", s.name, "err", err)
				result.Errors = append(result.Errors, err.Error())
				continue
			}
			result.Runs = append(result.Runs, v)
			r.log.Info(m.name, "run", i+1, "server", s.name, "values", fmt.Sprint(v))
		}
	}
	return nil
}

// load starts a server anew, makes a run of bench against it and stops it.
func (r *rig) load(ctx context.Context, s server, nodes int, c bench.Config) (*bench.Report, error) {
	running, err := s.start(ctx, r.site, nodes)
	if err != nil {
		return nil, err
	}
	defer running.stop()
	return bench.Run(ctx, running.aim(c))
}

// config is that of a scenario, with the times of this rig.
func (r *rig) config(scenario string) bench.Config {
	c := bench.Defaults(scenario)
	c.Warmup, c.Duration, c.Tail = 1500*time.Millisecond, r.span, 2*time.Second
	return c
}

// deliveries are the metrics of a load with messages.
func (r *rig) deliveries(ctx context.Context, s server, nodes int, c bench.Config) (values, error) {
	report, err := r.load(ctx, s, nodes, c)
	if err != nil {
		return nil, err
	}
	for _, w := range report.Warnings {
		r.log.Warn(w, "server", s.name)
	}
	v := values{cpu: report.ServerCPU, p50: report.Latency.P50, p99: report.Latency.P99, rate: report.PerSecond, generator: report.Generator.PerDelivery}
	if m := report.Messages; m != nil {
		v[lost] = float64(m.Lost + m.Doubled + m.OutOfOrder + m.Stray + m.Damaged)
	}
	return v, nil
}
