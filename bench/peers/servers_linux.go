package main

import "context"

// servers are all kinds, in the order of their turns.
func servers() []server {
	socketIO := func(adapter string) func(context.Context, *site, int) (*cluster, error) {
		return func(ctx context.Context, s *site, nodes int) (*cluster, error) {
			return startSocketIO(ctx, s, nodes, adapter)
		}
	}
	return []server{
		{nameMeshrt, buildMeshrt, func(ctx context.Context, s *site, nodes int) (*cluster, error) { return startMeshrt(ctx, s, nodes) }},
		{nameRedis, installSocketIO, socketIO("redis")},
		{nameStreams, installSocketIO, socketIO("streams")},
		{nameNATS, installNATS, startNATS},
		{nameWSS, buildMeshrt, startSecure},
		{nameSingle, installNode, socketIO("")},
		{nameFloor, nothing, func(ctx context.Context, s *site, _ int) (*cluster, error) { return startFloor(ctx, s) }},
	}
}

func nothing(context.Context, *site) error { return nil }
