package plain

import (
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
	"github.com/meshrt/meshrt/wire/plain"
)

// silent is the AckID of a command without an id: its answer is told only when it
// reports a failure. No client can use it.
const silent = plain.MaxID + 1

var errBinary = errors.New("binary frames are not used: send commands as text")

// Received implements ws.Handler.
func (c *conn) Received(data []byte, binary bool) {
	c.await()
	if c.ended() {
		return // was on its way
	}
	cmd, err := decode(data, binary)
	if err != nil {
		c.server.counters.invalid.Add(1)
		c.reject(cmd, err)
		return
	}
	c.server.counters.commands.Add(1)
	if cmd.Type == "ack" {
		c.session.ReceiveAck(cmd.ID, cmd.Args, nil)
		return
	}
	c.session.Receive(event(cmd))
}

// await holds a message back until Config.Rate allows it. The connection is not
// read meanwhile, which slows the client down and loses nothing.
func (c *conn) await() {
	if !c.pace.Limited() {
		return
	}
	if wait := c.pace.Next(time.Now()); wait > 0 {
		c.server.counters.delayed.Add(1)
		c.server.notices.Say("rate", "client sends faster than -rate", slog.String("addr", c.handshake.Remote))
		c.ws.Wait(wait)
	}
}

func decode(data []byte, binary bool) (plain.Command, error) {
	if binary {
		return plain.Command{}, errBinary
	}
	cmd, err := plain.DecodeCommand(data)
	if err != nil {
		return cmd, err
	}
	// What nests deeper is no argument list any more, and clients of other
	// languages would choke on it.
	return cmd, wire.CheckDepth(data)
}

// reject answers what is no command behind the answers to the commands before it.
func (c *conn) reject(cmd plain.Command, err error) {
	c.session.Refuse(&node.Event{AckID: ackID(cmd), HasAck: true}, node.Errorf(node.CodeInvalid, "%v", err))
}

func ackID(cmd plain.Command) uint64 {
	if cmd.HasID {
		return cmd.ID
	}
	return silent
}

// event is what the node's handlers get of a command: the arguments that a
// Socket.IO client gives to the verb of the same name.
func event(cmd plain.Command) *node.Event {
	e := &node.Event{Name: cmd.Type, AckID: ackID(cmd), HasAck: true}
	switch cmd.Type {
	case "emit":
		e.Name, e.Args = cmd.Event, cmd.Args
	case "publish":
		e.Args = append(quote(cmd.Room, cmd.Event), cmd.Args...)
		prefer(e, "room", cmd)
	case "broadcast":
		e.Args = append(quote(cmd.Event), cmd.Args...)
		prefer(e, "event", cmd)
	case "direct":
		e.Args = append(quote(cmd.To, cmd.Event), cmd.Args...)
		prefer(e, "to", cmd)
	case "history":
		e.Args = append(quote(cmd.Room), past(cmd))
	default: // join, leave, presence
		e.Args = quote(cmd.Room)
	}
	return e
}

// past is the second argument of history.
func past(cmd plain.Command) json.RawMessage {
	object := map[string]json.RawMessage{"limit": cmd.Limit, "since": cmd.Since, "unseen": cmd.Unseen}
	maps.DeleteFunc(object, func(_ string, v json.RawMessage) bool { return v == nil })
	text, _ := wire.MarshalJSON(object) // of texts that are valid
	return text
}

// prefer gives e the command's priority and key, in an object in place of its first argument.
func prefer(e *node.Event, key string, cmd plain.Command) {
	if cmd.Priority == "" && cmd.Key == "" {
		return
	}
	object := map[string]any{key: e.Args[0]}
	if cmd.Priority != "" {
		object["priority"] = cmd.Priority
	}
	if cmd.Key != "" {
		object["idempotency_key"] = cmd.Key
	}
	e.Args[0], _ = wire.MarshalJSON(object) // strings always encode
}

// quote is strings as JSON texts.
func quote(names ...string) wire.Args {
	args := make(wire.Args, 0, len(names))
	for _, name := range names {
		text, _ := wire.MarshalJSON(name) // a string always has a JSON text
		args = append(args, text)
	}
	return args
}
