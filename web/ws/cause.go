package ws

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
)

// Cause is why a connection cannot go on.
type Cause uint8

// The causes. A close frame that fits CauseBreach was sent, if nothing else was on its
// way out.
const (
	CauseLost        Cause = iota + 1 // closed by the client, or lost
	CauseBreach                       // the client broke the rules of RFC 6455
	CauseSlow                         // a write took longer than it may
	CauseTooBig                       // a message over MaxPayload
	CauseInvalidText                  // a text message that is not UTF-8
	CausePanic                        // of the Handler
	CauseGoodbye                      // closed by the client as one that needs it no more: with StatusNormal or none
	CauseEnd                          // counts them: no cause
)

// causeOf tells what an error of a read or write means. As Node's ws has it, each
// loss of the connection is a close, with or without a close frame.
func causeOf(err error) Cause {
	var network *net.OpError
	switch {
	case errors.Is(err, errTooBig):
		return CauseTooBig
	case errors.Is(err, errInvalidText):
		return CauseInvalidText
	// Of a write, as reads have no deadline before the end.
	case errors.Is(err, os.ErrDeadlineExceeded):
		return CauseSlow
	case errors.Is(err, errHungUp), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe), errors.As(err, &network):
		return CauseLost
	}
	return CauseBreach
}

// causeOfClose is the cause that a client gives with its close frame. A page that calls close()
// sends 1000, or no status at all; one that goes or is loaded again, 1001, and a program that
// means to come back may choose any other.
func causeOfClose(data []byte) Cause {
	if len(data) < 2 || Status(binary.BigEndian.Uint16(data)) == StatusNormal {
		return CauseGoodbye
	}
	return CauseLost
}

// Status closes a websocket (RFC 6455, section 7.4.1, and the IANA registry). Zero
// is none: the connection is cut, as nobody is there to read it, or nobody reads.
type Status uint16

// The statuses that servers send.
const (
	StatusNormal        Status = 1000
	StatusGoingAway     Status = 1001
	StatusProtocolError Status = 1002
	StatusInvalidText   Status = 1007
	StatusRefused       Status = 1008 // "policy violation"
	StatusTooBig        Status = 1009
	StatusInternalError Status = 1011
	StatusRestart       Status = 1012
	StatusTryLater      Status = 1013
)
