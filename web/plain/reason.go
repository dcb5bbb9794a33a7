package plain

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/meshrt/meshrt/web/ws"
)

// reason is why a connection ended.
type reason uint8

const (
	reasonClose       reason = iota + 1 // the client closed the connection, or lost it
	reasonBreach                        // the client broke the rules of RFC 6455
	reasonPingTimeout                   // nothing came within PingTimeout after a ping
	reasonSlow                          // the queue was full, or one write took longer than PingTimeout
	reasonTooBig                        // a message over MaxPayload
	reasonInvalidText                   // a text message that is not UTF-8
	reasonPanic                         // a panic that the node did not catch
	reasonServer                        // Session.Disconnect
	reasonShutdown                      // Server.Run ends
	reasonRefused                       // the node did not open a session, for a reason of the client's
	reasonUnavailable                   // nor did it here, for a reason of its own
	reasonElsewhere                     // the session goes on over another connection, or is to
	reasonEnd                           // counts them
)

// reasons has a row for each: its name, the official Socket.IO server's name where
// that differs, and the status that closes the websocket. Without a status the
// connection is cut.
var reasons = [reasonEnd]struct {
	name, official string
	status         ws.Status
	limit          bool // operators are told
}{
	reasonClose:       {name: "transport close", status: ws.StatusNormal},
	reasonBreach:      {name: "transport error"},
	reasonPingTimeout: {name: "ping timeout"},
	reasonSlow:        {name: "slow client", official: "transport error", limit: true},
	reasonTooBig:      {name: "message too big", official: "transport error", status: ws.StatusTooBig, limit: true},
	reasonInvalidText: {name: "invalid text", official: "transport error", status: ws.StatusInvalidText, limit: true},
	reasonPanic:       {name: "internal error", official: "transport error", status: ws.StatusInternalError},
	reasonServer:      {name: "server namespace disconnect", status: ws.StatusNormal},
	reasonShutdown:    {name: "server shutting down", status: ws.StatusRestart},
	reasonRefused:     {name: "connection refused", status: ws.StatusRefused},
	reasonUnavailable: {name: "unavailable", status: ws.StatusTryLater},
	reasonElsewhere:   {name: "resumed elsewhere", official: "transport close", status: ws.StatusRestart},
}

// causes are the reasons for which a websocket itself ends.
var causes = [ws.CauseEnd]reason{
	ws.CauseLost:        reasonClose,
	ws.CauseBreach:      reasonBreach,
	ws.CauseSlow:        reasonSlow,
	ws.CauseTooBig:      reasonTooBig,
	ws.CauseInvalidText: reasonInvalidText,
	ws.CausePanic:       reasonPanic,
	ws.CauseGoodbye:     reasonClose,
}

// socketReasons and streamReasons are those that can end either.
var (
	socketReasons = []reason{reasonClose, reasonBreach, reasonPingTimeout, reasonSlow, reasonTooBig, reasonInvalidText,
		reasonPanic, reasonServer, reasonShutdown, reasonRefused, reasonUnavailable, reasonElsewhere}
	streamReasons = []reason{reasonClose, reasonSlow, reasonPanic, reasonServer, reasonShutdown, reasonElsewhere}
)

// inOrder says that a stream that ends so is written to its last event. Else its
// client is gone, or must notice that something is missing.
func (r reason) inOrder() bool { return r == reasonServer || r == reasonShutdown }

// String is the name to log and to count.
func (r reason) String() string { return reasons[r].name }

// official is what OnDisconnect handlers are told, for all protocols alike.
func (r reason) official() string {
	if o := reasons[r].official; o != "" {
		return o
	}
	return reasons[r].name
}

// retryWithin is over how long the clients of a node that stops are asked to
// spread when they connect again, which is to the other nodes.
const retryWithin = 5 * time.Second

// drawRetry is when one of them is to come back, in milliseconds.
func drawRetry() int64 { return rand.N(retryWithin).Milliseconds() }

// text is what the close frame says. A client that is told to wait does so if it
// reads that; the time is drawn for each.
func (r reason) text() string {
	if r == reasonShutdown {
		return fmt.Sprintf("%s, retry in %d ms", r, drawRetry())
	}
	return r.String()
}
