package bench

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/meshrt/meshrt/wire/eio"
	"github.com/meshrt/meshrt/wire/sio"
)

// stage is how far a client is.
type stage int

const (
	opening   stage = iota // the websocket is open, or not yet
	connected              // Socket.IO: the namespace is asked for
	joining                // the room is
	ready
	gone // it failed before it was ready
)

// dialect is what a client says to a server, and how it reads the answers. It
// holds nothing of one client and may be used from any goroutine.
type dialect interface {
	// path is that of a URL without one, and what must be in its query.
	path() (path, query string)
	// hear is told what the server said to a client at that stage, which wants to be
	// in room, "" for none. reply is what the client says, nil for nothing. An error
	// ends the client. Messages of the run never come here.
	hear(at stage, data []byte, binary bool, room string) (next stage, reply []byte, err error)
	// publish is what to put before and behind a message for room.
	publish(room string) (before, after []byte)
	// join is how a client asks for a room.
	join(room string) []byte
}

// eventName is what the clients of a run get.
const eventName = "m"

func newDialect(c Config) dialect {
	switch c.Protocol {
	case Plain:
		return plainJSON{}
	case NATS:
		return nats{c.Size}
	}
	return socketIO{quote(c.Join), quote(c.Publish)}
}

// quote is s as JSON.
func quote(s string) string {
	b, _ := json.Marshal(s) // a string always has a JSON text
	return string(b)
}

// refused is an error for an answer {"ok":false,"error":...} of a join.
func refused(answer []byte) error {
	var a struct {
		OK    *bool
		Error json.RawMessage
	}
	if json.Unmarshal(answer, &a) != nil || a.OK == nil || *a.OK {
		return nil // not an answer of that kind: any ack will do
	}
	return fmt.Errorf("the server refuses the join: %.200s", a.Error)
}

// socketIO is Socket.IO 5 over Engine.IO 4.
type socketIO struct{ enter, verb string }

func (socketIO) path() (path, query string) { return "/socket.io/", "EIO=4&transport=websocket" }

func (d socketIO) publish(room string) (before, after []byte) {
	return []byte("42[" + d.verb + "," + quote(room) + `,"` + eventName + `","`), []byte(`"]`)
}

func (d socketIO) join(room string) []byte {
	return []byte("420[" + d.enter + "," + quote(room) + "]")
}

func (d socketIO) hear(at stage, data []byte, binary bool, room string) (stage, []byte, error) {
	packet, err := eio.DecodePacket(data, binary)
	if err != nil {
		return at, nil, err
	}
	switch {
	case packet.Type == eio.Open && at == opening:
		return connected, []byte("40"), nil
	case packet.Type == eio.Ping:
		return at, append([]byte("3"), packet.Data...), nil
	case packet.Type == eio.Close:
		return at, nil, errors.New("the server closes the session")
	case packet.Type == eio.Message && !packet.Binary:
		return d.packet(at, packet.Data, room)
	}
	return at, nil, nil
}

func (d socketIO) packet(at stage, data []byte, room string) (stage, []byte, error) {
	var decoder sio.Decoder
	p, whole, err := decoder.Text(data)
	if err != nil || !whole {
		return at, nil, err // attachments are nothing that a run sends
	}
	switch {
	case p.Type == sio.ConnectError:
		return at, nil, fmt.Errorf("the server refuses the namespace: %.200s", p.Data)
	case p.Type == sio.Disconnect:
		return at, nil, errors.New("the server disconnects the client")
	case p.Type == sio.Connect && at == connected && room == "":
		return ready, nil, nil
	case p.Type == sio.Connect && at == connected:
		return joining, d.join(room), nil
	case p.Type == sio.Ack && at == joining && p.HasAck && p.AckID == 0:
		var answers []json.RawMessage
		if json.Unmarshal(p.Data, &answers) == nil && len(answers) > 0 {
			err = refused(answers[0])
		}
		return ready, nil, err
	}
	return at, nil, nil
}

// plainJSON is the plain websocket of meshrt, package wire/plain.
type plainJSON struct{}

func (plainJSON) path() (path, query string) { return "/ws", "" }

func (plainJSON) publish(room string) (before, after []byte) {
	return []byte(`{"type":"publish","room":` + quote(room) + `,"event":"` + eventName + `","data":"`), []byte(`"}`)
}

func (plainJSON) join(room string) []byte {
	return []byte(`{"type":"join","id":1,"room":` + quote(room) + `}`)
}

func (d plainJSON) hear(at stage, data []byte, _ bool, room string) (stage, []byte, error) {
	var f struct {
		Type  string
		Error json.RawMessage
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return at, nil, fmt.Errorf("the server sends no JSON: %w", err)
	}
	switch {
	case f.Type == "error":
		return at, nil, fmt.Errorf("the server refuses a command: %.200s", f.Error)
	case f.Type == "welcome" && at == opening && room == "":
		return ready, nil, nil
	case f.Type == "welcome" && at == opening:
		return joining, d.join(room), nil
	case f.Type == "ack" && at == joining:
		return ready, nil, refused(data)
	}
	return at, nil, nil
}
