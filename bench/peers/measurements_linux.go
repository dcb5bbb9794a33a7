package main

import (
	"context"
	"time"

	"github.com/meshrt/meshrt/bench"
)

// three is how many nodes a cluster has, where nothing else is said.
const three = 3

var (
	peers     = []string{nameMeshrt, nameRedis, nameStreams, nameNATS}
	withFloor = append(peers[:len(peers):len(peers)], nameFloor)
)

// measurements are all, in their order.
func measurements() []measurement {
	return []measurement{
		{"fanout", append(withFloor[:len(withFloor):len(withFloor)], nameSingle), fanout},
		{"wss", []string{nameWSS}, nodes(three)},
		{"ramp-1000", peers, ramp("ramp-1000", 1000)},
		{"ramp-3000", peers, ramp("ramp-3000", 3000)},
		{"rooms", withFloor, rooms},
		{"hop", withFloor, hop},
		{"stream", peers, stream},
		{"idle", peers, idle(10_000)},
		{"idle-18000", []string{nameMeshrt}, idle(18_000)},
		{"connect", withFloor, connect},
		{"slow", peers, slow},
		{"nodes-1", []string{nameMeshrt}, nodes(1)},
		{"nodes-3", []string{nameMeshrt}, nodes(3)},
		{"nodes-10", []string{nameMeshrt}, nodes(10)},
		{"rooms-100", []string{nameMeshrt}, manyRooms(100, 1)},
		{"rooms-1000", []string{nameMeshrt}, manyRooms(1000, 1)},
		{"rooms-10000", []string{nameMeshrt}, manyRooms(10_000, 10)},
		{"rooms-100000", []string{nameMeshrt}, manyRooms(100_000, 100)},
	}
}

// fanout is 60 messages a second to 1,000 clients.
func fanout(ctx context.Context, r *rig, s server) (values, error) {
	return nodes(three)(ctx, r, s)
}

// nodes is fanout of a cluster of so many.
func nodes(count int) func(context.Context, *rig, server) (values, error) {
	return func(ctx context.Context, r *rig, s server) (values, error) {
		c := r.config(bench.Fanout)
		c.Rate = 60
		return r.deliveries(ctx, s, count, c)
	}
}

// rooms is 800 messages a second to 1,000 rooms of 10 clients in turn.
func rooms(ctx context.Context, r *rig, s server) (values, error) {
	c := r.config(bench.Rooms)
	c.Rooms, c.Clients, c.Publishers, c.Rate = 1000, 10, 10, 800
	return r.deliveries(ctx, s, three, c)
}

// hop is 200 messages a second from a client of the first node to one of the second.
func hop(ctx context.Context, r *rig, s server) (values, error) {
	c := r.config(bench.Hop)
	c.Rate = 200
	return r.deliveries(ctx, s, three, c)
}

// stream is as many of them as come through, 1,000 on their way.
func stream(ctx context.Context, r *rig, s server) (values, error) {
	c := r.config(bench.Hop)
	c.Unlimited = true
	return r.deliveries(ctx, s, three, c)
}

// Ramps: each step is short, as the highest rate is that of many.
const (
	rampFirst    = 40   // messages a second, where nothing is known
	rampStep     = 1.25 // between two rates
	rampDuration = 1500 * time.Millisecond
	// rampBack is where a ramp begins, of the rate that held last time.
	rampBack = 0.4
)

// ramp finds the highest rate of a fan-out that holds, and then p99 at half of it.
func ramp(name string, clients int) func(context.Context, *rig, server) (values, error) {
	return func(ctx context.Context, r *rig, s server) (values, error) {
		c := r.config(bench.Ramp)
		c.Clients, c.Step, c.Duration = clients, rampStep, min(rampDuration, r.span)
		c.Rate = max(rampFirst*1000/float64(clients), rampBack*r.held[name+s.name])
		report, err := r.load(ctx, s, three, c)
		if err != nil {
			return nil, err
		}
		v := values{rate: report.HeldRate * float64(clients)}
		if r.held[name+s.name] = report.HeldRate; report.HeldRate == 0 {
			return v, nil
		}
		half := r.config(bench.Fanout)
		half.Clients, half.Rate = clients, report.HeldRate/2
		at, err := r.deliveries(ctx, s, three, half)
		if err != nil {
			return nil, err
		}
		v[halfP99], v[lost] = at[p99], at[lost]
		return v, nil
	}
}

// idleSpan is from the last connect until memory is read.
const idleSpan = 8 * time.Second

// idle is clients in one room that say nothing.
func idle(clients int) func(context.Context, *rig, server) (values, error) {
	return func(ctx context.Context, r *rig, s server) (values, error) {
		c := r.config(bench.Idle)
		c.Clients, c.Warmup, c.Duration = clients, 0, idleSpan
		report, err := r.load(ctx, s, three, c)
		if err != nil {
			return nil, err
		}
		return values{memory: report.BytesPerConnection, lost: float64(report.Disconnected)}, nil
	}
}

// connect is 1,000 clients a second that connect and join a room.
func connect(ctx context.Context, r *rig, s server) (values, error) {
	c := r.config(bench.Connect)
	c.Clients, c.Rate = int(1000*r.span.Seconds()), 1000
	report, err := r.load(ctx, s, three, c)
	if err != nil {
		return nil, err
	}
	return values{cpu: report.ServerCPUConnection, p50: report.TimeToJoined.P50, p99: report.TimeToJoined.P99, lost: float64(report.Failed)}, nil
}

// slow is a fan-out of 1 KiB messages, without and with a client that reads nothing.
func slow(ctx context.Context, r *rig, s server) (values, error) {
	c := r.config(bench.Fanout)
	c.Rate, c.Size = 40, 1024
	v, err := r.deliveries(ctx, s, three, c)
	if err != nil {
		return nil, err
	}
	c.Slow = 1
	with, err := r.deliveries(ctx, s, three, c)
	if err != nil {
		return nil, err
	}
	v[slowP99] = with[p99]
	v[lost] += with[lost]
	return v, nil
}

// manyRooms is 4,000 messages a second to rooms of one client each; every client is in
// so many of them.
func manyRooms(rooms, joins int) func(context.Context, *rig, server) (values, error) {
	return func(ctx context.Context, r *rig, s server) (values, error) {
		c := r.config(bench.Rooms)
		c.Rooms, c.Joins, c.Clients, c.Publishers, c.Rate = rooms, joins, 1, 10, 4000
		return r.deliveries(ctx, s, three, c)
	}
}
