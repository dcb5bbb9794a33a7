package ws

import (
	"log/slog"
	"runtime/debug"
)

// Guard runs a part of the session with the client at addr and reports whether it
// returned. A panic is logged and goes no further: what a client sends must not
// stop the process.
func Guard(log *slog.Logger, addr string, part func()) (ok bool) {
	defer func() {
		if ok {
			return
		}
		// Not ok without a panic is runtime.Goexit, which a test's FailNow calls.
		if v := recover(); v != nil {
			log.Error("panic in a session", "addr", addr, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	part()
	return true
}
