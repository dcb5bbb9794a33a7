package engineio

import (
	"time"

	"github.com/meshrt/meshrt/web/ws"
)

// Reason is why a session ended.
type Reason uint8

// The reasons. The first seven are the official server's, named as it names them;
// it reports the rest as others, see Official.
const (
	ReasonTransportClose    Reason = iota + 1 // the client closed the connection, or lost it
	ReasonTransportError                      // the client broke the rules of the transport
	ReasonPingTimeout                         // no pong in time
	ReasonParseError                          // bytes that are no packet
	ReasonForcedClose                         // the layer above closed the session
	ReasonForcedServerClose                   // the same, for lack of a Socket.IO CONNECT
	ReasonShutdown                            // Server.Run ends
	ReasonSlow                                // the queue was full, or one write took longer than PingTimeout
	ReasonTooBig                              // a message over MaxPayload
	ReasonInvalidText                         // a text message that is not UTF-8
	ReasonPanic                               // the layer above panicked
	ReasonMoved                               // the session goes on at another server
	reasonEnd                                 // counts them
)

// reasons has a row for each: its name, the official name where that differs, and
// the status that closes a websocket. Without a status the connection is cut. linger
// is for how long one more poll may fetch what waits, when none was there.
var reasons = [reasonEnd]struct {
	name, official string
	status         ws.Status
	linger         time.Duration
	limit          bool // operators are told
}{
	ReasonTransportClose:    {name: "transport close", status: ws.StatusNormal, linger: raceTime},
	ReasonTransportError:    {name: "transport error"},
	ReasonPingTimeout:       {name: "ping timeout"},
	ReasonParseError:        {name: "parse error", status: ws.StatusProtocolError},
	ReasonForcedClose:       {name: "forced close", status: ws.StatusNormal, linger: ws.CloseTimeout},
	ReasonForcedServerClose: {name: "forced server close", status: ws.StatusNormal, linger: ws.CloseTimeout},
	ReasonShutdown:          {name: "server shutting down", status: ws.StatusGoingAway, linger: ws.CloseTimeout},
	ReasonSlow:              {name: "slow client", official: "transport error", limit: true},
	ReasonTooBig:            {name: "message too big", official: "transport error", status: ws.StatusTooBig, limit: true},
	ReasonInvalidText:       {name: "invalid text", official: "transport error", status: ws.StatusInvalidText, limit: true},
	ReasonMoved:             {name: "moved", status: ws.StatusNormal},
	ReasonPanic:             {name: "internal error", official: "transport error", status: ws.StatusInternalError},
}

// causes are the reasons for which a websocket itself ends. The official server
// calls each loss of the connection a close, and each breach of RFC 6455 an error.
var causes = [ws.CauseEnd]Reason{
	ws.CauseLost:        ReasonTransportClose,
	ws.CauseBreach:      ReasonTransportError,
	ws.CauseSlow:        ReasonSlow,
	ws.CauseTooBig:      ReasonTooBig,
	ws.CauseInvalidText: ReasonInvalidText,
	ws.CausePanic:       ReasonPanic,
	ws.CauseGoodbye:     ReasonTransportClose,
}

// String is the name to log and to count.
func (r Reason) String() string {
	if !r.valid() {
		return "unknown"
	}
	return reasons[r].name
}

// Official is the name that the official server gives to an end like this one: one
// of "transport close", "transport error", "ping timeout", "parse error", "forced
// close", "forced server close", "server shutting down". Users compare with these.
func (r Reason) Official() string {
	if !r.valid() || reasons[r].official == "" {
		return r.String()
	}
	return reasons[r].official
}

func (r Reason) valid() bool { return r > 0 && r < reasonEnd }

// graceful says that what waits is written and the transport closed in order,
// within ws.CloseTimeout. Else the transport is cut.
func (r Reason) graceful() bool { return reasons[r].status != 0 }

// lastGroup is the last packet to a poll: the client gets no close for its own.
func (r Reason) lastGroup() *Group {
	if r == ReasonTransportClose {
		return noopGroup
	}
	return closeGroup
}
