package ws

import "context"

// Guest is told of a connection that goes on when the handler of its request has
// returned, by whoever counts connections. Both methods are called at most once,
// neither may block, and Left comes only after Stayed.
type Guest interface {
	Stayed() // within the handler of the request
	Left()   // when the connection has been closed, and nothing of it runs
}

type guestKey struct{}

// WithGuest is the context of a request whose connection g is to be told of. Those
// who were to be told before are told too, after g.
func WithGuest(ctx context.Context, g Guest) context.Context {
	if outer := guestOf(ctx); outer != nil {
		g = guests{g, outer}
	}
	return context.WithValue(ctx, guestKey{}, g)
}

func guestOf(ctx context.Context) Guest {
	g, _ := ctx.Value(guestKey{}).(Guest)
	return g
}

// guests are two.
type guests [2]Guest

func (g guests) Stayed() { g[0].Stayed(); g[1].Stayed() }
func (g guests) Left()   { g[0].Left(); g[1].Left() }
