package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"

	"github.com/meshrt/meshrt/bench"
)

// natsVersion is what is built of github.com/nats-io/nats-server/v2.
const natsVersion = "v2.14.6"

// installNATS builds the server, once.
func installNATS(ctx context.Context, s *site) error {
	s.nats = filepath.Join(s.bin, "nats-server")
	if out, err := s.output(ctx, s.nats, "--version"); err == nil && out == "nats-server: "+natsVersion {
		return nil
	}
	return s.command(ctx, s.temp, []string{"GOBIN=" + s.bin, "CGO_ENABLED=0"}, "go", "install", "github.com/nats-io/nats-server/v2@"+natsVersion)
}

// startNATS starts nodes with routes to each other.
func startNATS(ctx context.Context, s *site, nodes int) (*cluster, error) {
	c := &cluster{protocol: bench.NATS}
	return c.started(joinNATS(ctx, s, c, nodes))
}

func joinNATS(ctx context.Context, s *site, c *cluster, nodes int) error {
	first, monitors := "", []string(nil)
	for range nodes {
		addrs, err := s.addresses(3)
		if err != nil {
			return err
		}
		host, port, err := net.SplitHostPort(addrs[0])
		if err != nil {
			return err
		}
		_, monitor, err := net.SplitHostPort(addrs[2])
		if err != nil {
			return err
		}
		args := []string{"--addr", host, "--port", port, "--http_port", monitor, "--cluster_name", "bench", "--cluster", "nats://" + addrs[1]}
		if first == "" {
			first = addrs[1]
		} else {
			args = append(args, "--routes", "nats://"+first)
		}
		if _, err := c.add(spawn(nil, s.nats, args...)); err != nil {
			return err
		}
		c.urls, monitors = append(c.urls, "tcp://"+addrs[0]), append(monitors, addrs[2])
	}
	for i, addr := range monitors {
		if err := c.procs[i].await(ctx, func() bool { return natsRemotes(ctx, addr) == nodes-1 }); err != nil {
			return err
		}
	}
	return nil
}

// natsRemotes counts the other nodes that one has routes to, -1 while it does not answer.
func natsRemotes(ctx context.Context, monitor string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+monitor+"/varz", nil)
	if err != nil {
		return -1
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	var v struct{ Remotes int }
	if json.NewDecoder(resp.Body).Decode(&v) != nil {
		return -1
	}
	return v.Remotes
}
