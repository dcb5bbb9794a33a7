package main

import (
	"context"

	"github.com/meshrt/meshrt/bench"
)

// server is one kind of server that is measured.
type server struct {
	name    string // of -peers
	install func(context.Context, *site) error
	// start starts a cluster of that many nodes and returns when it is ready.
	start func(ctx context.Context, s *site, nodes int) (*cluster, error)
}

// cluster is a server that runs.
type cluster struct {
	urls     []string
	protocol string
	procs    []*process // all that belongs to it: brokers too
}

// add keeps a process, so that stop ends it.
func (c *cluster) add(p *process, err error) (*process, error) {
	if err == nil {
		c.procs = append(c.procs, p)
	}
	return p, err
}

// stop ends all processes, the last first, and waits for that.
func (c *cluster) stop() {
	for i := len(c.procs) - 1; i >= 0; i-- {
		c.procs[i].stop()
	}
}

// aim fills in where the clients of a run connect, and whose CPU time it counts.
func (c *cluster) aim(config bench.Config) bench.Config {
	config.URLs, config.Protocol = c.urls, c.protocol
	for _, p := range c.procs {
		config.PIDs = append(config.PIDs, p.pid())
	}
	return config
}

// started returns c, or stops it when it could not start.
func (c *cluster) started(err error) (*cluster, error) {
	if err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}
