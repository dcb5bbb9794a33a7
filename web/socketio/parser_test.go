package socketio

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/node/relay"
	"github.com/meshrt/meshrt/web/webtest"
	"github.com/meshrt/meshrt/wire"
	"github.com/meshrt/meshrt/wire/sio"
)

// packed is a client with the msgpack parser.
type packed struct {
	t *testing.T
	*webtest.Conn
}

func (c packed) send(p sio.Packet) {
	c.t.Helper()
	data, err := sio.AppendMessagePack(nil, p)
	if err != nil {
		c.t.Fatal(err)
	}
	c.SendBinary(data)
}

// next is the next packet in the text form, with its attachments.
func (c packed) next() string {
	c.t.Helper()
	frame, err := c.Next()
	if err != nil {
		c.t.Fatal(err)
	}
	text, ok := strings.CutPrefix(frame, "binary:")
	data, err := hex.DecodeString(text)
	if !ok || err != nil {
		c.t.Fatalf("frame %.200q, want msgpack", frame)
	}
	p, err := sio.DecodeMessagePack(data, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	got := string(sio.Append(nil, p))
	for _, a := range p.Attachments {
		got += fmt.Sprintf(" %x", a)
	}
	return got
}

func (c packed) expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		if got := c.next(); got != w {
			c.t.Errorf("got %s, want %s", got, w)
		}
	}
}

func packedClient(t *testing.T, s *webtest.Server) packed {
	t.Helper()
	c := packed{t, open(t, s)}
	c.send(sio.Packet{Type: sio.Connect, Namespace: "/", Data: []byte(`{"token":"1"}`)})
	if got := c.next(); !strings.HasPrefix(got, `0{"sid":"`) {
		t.Fatalf("connect answer %s", got)
	}
	c.expect(`2["auth",{"token":"1"}]`)
	return c
}

func relayed(n *node.Node) {
	conformance(n)
	relay.Attach(n.Namespace("/"))
	n.Namespace("/").On("kick", func(e *node.Event) { e.Session.Disconnect(false) })
}

func eventOf(ack uint64, data string, attachments ...string) sio.Packet {
	p := sio.Packet{Type: sio.Event, Namespace: "/", Data: []byte(data), AckID: ack, HasAck: ack > 0}
	for _, a := range attachments {
		p.Attachments = append(p.Attachments, []byte(a))
	}
	return p
}

func TestClientsWithEitherParserShareARoom(t *testing.T) {
	const placeholder = `{"_placeholder":true,"num":0}`
	serve(t, relayed, nil, func(t *testing.T, s *webtest.Server, n *node.Node) {
		m := packedClient(t, s)
		m.send(eventOf(1, `["join","x"]`))
		m.expect(`31[{"ok":true}]`)
		j, _ := joined(t, s, "40")
		j.Expect(`42["auth",{}]`)
		j.Send(`421["join","x"]`)
		j.Expect(`431[{"ok":true}]`)

		m.send(eventOf(0, `["publish","x","e",[`+placeholder+`],9007199254740993]`, "\x01"))
		j.Expect(`451-["e",[`+placeholder+`],9007199254740993]`, "binary:01")
		j.Send(`451-["publish","x","e",{"a":` + placeholder + `},12345678901234567,1.0]`)
		j.SendBinary([]byte{2})
		m.expect(`51-["e",{"a":` + placeholder + `},12345678901234567,1] 02`)

		m.send(eventOf(2, `["message-with-ack",`+placeholder+`]`, "\x03"))
		m.expect(`61-2[` + placeholder + `] 03`)
		m.send(sio.Packet{Type: sio.Connect, Namespace: "/random"})
		m.expect(`4/random,{"message":"Invalid namespace"}`)
		m.send(eventOf(0, `["kick"]`))
		m.expect(`1`)
	})
}

func TestClientStaysWithItsParser(t *testing.T) {
	serve(t, relayed, nil, func(t *testing.T, s *webtest.Server, n *node.Node) {
		m := packedClient(t, s)
		m.Send(`42["message"]`)
		m.ExpectClose(websocket.StatusProtocolError)
		j, _ := joined(t, s, "40")
		j.Expect(`42["auth",{}]`)
		packed{t, j}.send(eventOf(0, `["message"]`))
		j.ExpectClose(websocket.StatusProtocolError)
		c := open(t, s)
		c.SendBinary([]byte("nonsense"))
		c.ExpectClose(websocket.StatusProtocolError)
		synctest.Wait()
		if got := n.Stats().Sessions; got != 0 {
			t.Errorf("%d sessions left", got)
		}
	})
}

// TestBroadcastIsWrittenOnceForEachParser: what one client gets is what all get,
// byte for byte the same memory.
func TestBroadcastIsWrittenOnceForEachParser(t *testing.T) {
	d := &node.Delivery{Message: messageOf(`["e",1]`)}
	for _, f := range []parser{parserText, parserMessagePack} {
		s := &socket{parser: f}
		if a, b := s.event(d), s.event(d); a == nil || a != b {
			t.Errorf("parser %d: written twice", f)
		}
	}
	text, packed := &socket{parser: parserText}, &socket{parser: parserMessagePack}
	if text.event(d) == packed.event(d) {
		t.Error("one form for both parsers")
	}
	if broken := (&node.Delivery{Message: messageOf(`["e"`)}); packed.event(broken) != nil {
		t.Error("data that is no JSON was written")
	}
}

func messageOf(payload string) *wire.Message {
	return &wire.Message{Envelope: &wire.Envelope{Namespace: "/"}, Payload: []byte(payload)}
}
