package main

import (
	"context"

	"github.com/meshrt/meshrt/bench"
)

// three is how many nodes a cluster has, where nothing else is said.
const three = 3

// measurements are all, in their order.
func measurements() []measurement {
	return []measurement{
		{"fanout", []string{nameMeshrt, nameRedis, nameStreams, nameFloor, nameSingle}, fanout},
	}
}

// fanout is 60 messages a second to 1,000 clients.
func fanout(ctx context.Context, r *rig, s server) (values, error) {
	c := r.config(bench.Fanout)
	c.Rate = 60
	report, err := r.load(ctx, s, three, c)
	if err != nil {
		return nil, err
	}
	return delivered(report), nil
}
