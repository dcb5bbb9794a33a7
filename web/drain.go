package web

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// Drain begins what the end of Run's context begins, and goes no further: the server is unready, takes no new
// client and moves those that it has away, over Config.Drain. Its listeners answer, and its node is a member, until the context
// ends. It returns at once, may be called from anywhere, and is not undone.
func (s *Server) Drain() {
	s.drained.Do(func() {
		s.log.Info("draining: clients are moved away, no new ones are taken")
		close(s.drain)
	})
}

// untilDrained ends with ctx, or by Drain.
func (s *Server) untilDrained(ctx context.Context, g *errgroup.Group) context.Context {
	stay, leave := context.WithCancel(ctx)
	g.Go(func() error {
		defer leave()
		select {
		case <-s.drain:
		case <-ctx.Done():
		}
		return nil
	})
	return stay
}
