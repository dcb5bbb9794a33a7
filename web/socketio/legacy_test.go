package socketio

import (
	"errors"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/webtest"
)

func allowLegacy(c *Config) { c.Engine.AllowEIO3 = true }

// legacyClient is a client of Socket.IO 2 behind the Engine.IO handshake.
func legacyClient(t *testing.T, s *webtest.Server) *webtest.Conn {
	t.Helper()
	c := s.Dial("/socket.io/?EIO=3&transport=websocket")
	if first, err := c.Next(); err != nil || !strings.HasPrefix(first, `0{"sid":"`) || strings.Contains(first, "maxPayload") {
		t.Fatalf("first frame %q, %v", first, err)
	}
	return c
}

func TestSocketIO2ClientIsLetInUnasked(t *testing.T) {
	serve(t, relayed, allowLegacy, func(t *testing.T, s *webtest.Server, n *node.Node) {
		c := legacyClient(t, s)
		c.Expect(`40`, `42["auth",{}]`)
		c.Send(`40/custom?token=abc&x=%C3%A9,`)
		c.Expect(`40/custom,`, `42/custom,["auth",{"token":"abc","x":"é"}]`)
		c.Send(`40/random,`)
		c.Expect(`44/random,"Invalid namespace"`)
		c.Send(`421["message-with-ack",1]`)
		c.Expect(`431[1]`)
		c.Send(`41/custom,`, `42["message","still here"]`)
		c.Expect(`42["message-back","still here"]`)
		c.Send(`40`) // it is there already
		c.ExpectClose(websocket.StatusNormalClosure)
	})
}

func TestSocketIO2ClientGetsItsBinaryWithATypeByte(t *testing.T) {
	const placeholder = `{"_placeholder":true,"num":0}`
	serve(t, relayed, allowLegacy, func(t *testing.T, s *webtest.Server, n *node.Node) {
		old := legacyClient(t, s)
		old.Expect(`40`, `42["auth",{}]`)
		old.Send(`421["join","x"]`)
		old.Expect(`431[{"ok":true}]`)
		today, _ := joined(t, s, "40")
		today.Expect(`42["auth",{}]`)
		today.Send(`421["join","x"]`)
		today.Expect(`431[{"ok":true}]`)

		today.Send(`451-["publish","x","e",` + placeholder + `]`)
		today.SendBinary([]byte{4, 5})
		old.Expect(`451-["e",`+placeholder+`]`, "binary:040405")
		old.Send(`451-["publish","x","e",` + placeholder + `]`)
		old.SendBinary([]byte{4, 6})
		today.Expect(`451-["e",`+placeholder+`]`, "binary:06")
	})
}

func TestSocketIO2ClientIsToldOfErrorsInPlainValues(t *testing.T) {
	var refusal error
	setup := func(n *node.Node) {
		n.Namespace("/").OnConnect(func(*node.Session) error { return refusal })
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errors.New("<no>"), `44"<no>"`},
		{&node.Error{Code: node.CodeForbidden, Message: "no", Data: map[string]int{"code": 1}}, `44{"code":1}`},
		{&node.Error{Code: node.CodeForbidden, Message: "no", Data: func() {}}, `44"internal error"`},
	} {
		refusal = tt.err
		serve(t, setup, allowLegacy, func(t *testing.T, s *webtest.Server, _ *node.Node) {
			legacyClient(t, s).Expect(tt.want)
		})
	}
}

// TestClientOfTodayAsksForItsNamespacesWithTheirWholeName: a query is none of its.
func TestClientOfTodayAsksForItsNamespacesWithTheirWholeName(t *testing.T) {
	serve(t, conformance, allowLegacy, func(t *testing.T, s *webtest.Server, _ *node.Node) {
		c := open(t, s)
		c.Send(`40/custom?token=abc,`)
		c.Expect(`44/custom?token=abc,{"message":"Invalid namespace"}`)
	})
}
