package main

import (
	"context"
	"net"
	"path/filepath"
	"strings"

	"github.com/meshrt/meshrt/bench"
)

// installNode installs Node.js and the packages of package-lock.json.
func installNode(ctx context.Context, s *site) error {
	if err := s.debian(ctx, "node", "nodejs", "npm"); err != nil {
		return err
	}
	return s.npm(ctx)
}

// installSocketIO is installNode, and Redis.
func installSocketIO(ctx context.Context, s *site) error {
	if err := s.debian(ctx, "redis-server", "redis-server"); err != nil {
		return err
	}
	return installNode(ctx, s)
}

// startSocketIO starts Redis, and nodes of Socket.IO with an adapter for it.
func startSocketIO(ctx context.Context, s *site, nodes int, adapter string) (*cluster, error) {
	c := &cluster{protocol: bench.SocketIO}
	return c.started(joinSocketIO(ctx, s, c, nodes, adapter))
}

func joinSocketIO(ctx context.Context, s *site, c *cluster, nodes int, adapter string) error {
	redis := ""
	if adapter == "" {
		nodes = 1 // they would not know of each other
	} else {
		addr, err := startRedis(ctx, s, c)
		if err != nil {
			return err
		}
		redis = "redis://" + addr
	}
	for range nodes {
		addrs, err := s.addresses(1)
		if err != nil {
			return err
		}
		host, port, err := net.SplitHostPort(addrs[0])
		if err != nil {
			return err
		}
		env := []string{"NODE_ENV=production", "HOST=" + host, "PORT=" + port, "ADAPTER=" + adapter, "REDIS=" + redis}
		p, err := c.add(spawn(env, "node", filepath.Join(s.here, "server.js")))
		if err != nil {
			return err
		}
		if err := p.await(ctx, func() bool { return strings.Contains(p.log.String(), "ready") }); err != nil {
			return err
		}
		c.urls = append(c.urls, "http://"+addrs[0])
	}
	return nil
}

// startRedis starts a Redis of our own, which writes nothing to disk.
func startRedis(ctx context.Context, s *site, c *cluster) (addr string, err error) {
	addrs, err := s.addresses(1)
	if err != nil {
		return "", err
	}
	host, port, err := net.SplitHostPort(addrs[0])
	if err != nil {
		return "", err
	}
	p, err := c.add(spawn(nil, "redis-server", "--bind", host, "--port", port, "--save", "", "--appendonly", "no"))
	if err != nil {
		return "", err
	}
	return addrs[0], p.await(ctx, func() bool { return answers(addrs[0]) })
}

// answers tells whether somebody listens at an address.
func answers(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
