package engineio

import "github.com/meshrt/meshrt/web/ws"

// transport carries the packets of one session: it takes what waits with
// Socket.take and hands on what comes in with Socket.receive. A Socket calls its
// transport with the lock held, so nothing here may block or call back.
type transport interface {
	// name is the transport's name in a query.
	name() string
	// flush says that something waits.
	flush()
	// websocket is the one that takes what waits at once, without waiting; nil when
	// there is none, or not yet.
	websocket() *ws.Conn
	// writable says that what is sent now would go out now.
	writable() bool
	// end says, once, that the session is over. The transport writes what still
	// waits when the reason is graceful, within ws.CloseTimeout, lets go of its
	// connections, waits until nothing of the session runs, and calls
	// Socket.finish, once.
	end(Reason)
}
