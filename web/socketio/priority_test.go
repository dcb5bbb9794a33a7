package socketio

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/node/relay"
	"github.com/meshrt/meshrt/web/webtest"
	"github.com/meshrt/meshrt/wire"
)

func withRelays(n *node.Node) {
	relay.Attach(n.Namespace("/"))
	relay.Attach(n.Namespace("/other"))
}

func unhurried(c *Config) { c.Engine.PingInterval = time.Hour }

// stuck has the writer of c wait for its client in the middle of a message, so that
// all that is sent from now on waits. The client reads that one first.
func stuck(n *node.Node) {
	synctest.Wait()
	n.In("/").Emit("being written")
	synctest.Wait()
}

// Each way to ask for a priority, by what overtakes what.
func TestClientsChooseThePriorityOfWhatTheySend(t *testing.T) {
	serve(t, withRelays, unhurried, func(t *testing.T, s *webtest.Server, n *node.Node) {
		a, aid := joined(t, s, "40")
		b, bid := joined(t, s, "40")
		b.Send(`421["join","x"]`)
		b.Expect(`431[{"ok":true}]`)
		n.In("/").To(bid).Emit("being written")
		synctest.Wait()
		for i, emit := range []string{
			`["publish",{"room":"x","priority":"low"},"low",1]`,
			`["publish","x","normal"]`,
			`["publish",{"room":"x","priority":"high"},"high",1,2]`,
			`["publish",{"room":"x"},"also normal"]`,
			`["broadcast",{"event":"to all","priority":"high"},3]`,
			`["broadcast",{"event":"at last","priority":"low"}]`,
			`["direct",{"to":"` + bid + `","priority":"high"},"dm",4]`,
			`["direct",{"priority":"normal","to":"` + bid + `"},"dm",5]`,
		} {
			a.Send(fmt.Sprintf("42%d%s", i, emit))
			a.Expect(fmt.Sprintf(`43%d[{"ok":true}]`, i))
		}
		synctest.Wait()
		b.Expect(`42["being written"]`, `42["high",1,2]`, `42["to all",3]`, `42["dm","`+aid+`",4]`,
			`42["normal"]`, `42["also normal"]`, `42["dm","`+aid+`",5]`, `42["low",1]`, `42["at last"]`)
	})
}

func TestPrioritiesThatAreNoneAreRefused(t *testing.T) {
	serve(t, withRelays, unhurried, func(t *testing.T, s *webtest.Server, n *node.Node) {
		a, _ := joined(t, s, "40")
		for i, tt := range []struct{ emit, message string }{
			{`["publish",{"room":"x","priority":"urgent"},"e"]`, `priority must be high, normal or low, not \"urgent\"`},
			{`["publish",{"room":"x","priority":1},"e"]`, `priority must be high, normal or low, not \"1\"`},
			{`["publish",{"room":"x","priority":null},"e"]`, `priority must be high, normal or low, not \"\"`},
			{`["publish",{"room":"x","Priority":"high"},"e"]`, `publish knows no \"Priority\": in an object there are room, priority and idempotency_key`},
			{`["publish",{"room":"x","volatile":true},"e"]`, `publish knows no \"volatile\": in an object there are room, priority and idempotency_key`},
			{`["publish",{"priority":"high"},"e"]`, `publish has no room: the room`},
			{`["publish",{"room":7},"e"]`, `publish needs a string as room: the room`},
			{`["publish",["x"],"e"]`, `publish needs a string as argument 1: the room`},
			{`["publish",null,"e"]`, `publish needs a string as argument 1: the room`},
			{`["publish",{"room":"x"}]`, `publish needs a string as argument 2: the event`},
			{`["broadcast",{"event":"connect","priority":"high"}]`, `event name \"connect\" is reserved`},
			{`["broadcast",{"room":"x","priority":"high"}]`, `broadcast knows no \"room\": in an object there are event, priority and idempotency_key`},
			{`["broadcast"]`, `broadcast needs a string as argument 1: the event`},
			{`["direct",{"to":"x"},"e"]`, `\"x\" is no socket id`},
			{`["join",{"room":"x"}]`, `join needs a string as argument 1: the room`},
		} {
			a.Send(fmt.Sprintf("42%d%s", i, tt.emit))
			a.Expect(fmt.Sprintf(`43%d[{"ok":false,"error":"%s","code":"invalid"}]`, i, tt.message))
		}
	})
}

// A client whose ack was lost sends the same arguments with another ack id.
func TestAnEventWithAKeyIsPublishedOnce(t *testing.T) {
	serve(t, withRelays, unhurried, func(t *testing.T, s *webtest.Server, n *node.Node) {
		a, aid := joined(t, s, "40")
		b, bid := joined(t, s, "40")
		b.Send(`421["join","x"]`)
		b.Expect(`431[{"ok":true}]`)
		for i, emit := range []string{
			`["publish",{"room":"x","idempotency_key":"k1","priority":"high"},"e",1]`,
			`["broadcast",{"event":"e","idempotency_key":"k2"},2]`,
			`["direct",{"to":"` + bid + `","idempotency_key":"k3"},"dm",3]`,
		} {
			for try := range 2 {
				a.Send(fmt.Sprintf("42%d%s", 2*i+try, emit))
				a.Expect(fmt.Sprintf(`43%d[{"ok":true}]`, 2*i+try))
			}
		}
		a.Send(`42["publish",{"room":"x","idempotency_key":"k4"},"before"]`, `42["publish","x","after"]`)
		synctest.Wait()
		b.Expect(`42["e",1]`, `42["e",2]`, `42["dm","`+aid+`",3]`, `42["before"]`, `42["after"]`)
		for i, tt := range []struct{ key, message string }{
			{`"k1"`, "the idempotency_key was used for another message"},
			{`""`, "idempotency_key must have 1 to 128 bytes"},
			{`"` + strings.Repeat("é", 65) + `"`, "idempotency_key must have 1 to 128 bytes"},
			{`null`, "idempotency_key must have 1 to 128 bytes"},
			{`7`, "idempotency_key must be a string"},
		} {
			a.Send(fmt.Sprintf(`42%d["publish",{"room":"x","idempotency_key":%s},"f"]`, i, tt.key))
			a.Expect(fmt.Sprintf(`43%d[{"ok":false,"error":"%s","code":"invalid"}]`, i, tt.message))
		}
	})
}

// The ack of a leave says that nothing of the room comes later: what was published
// before it comes before it, the low ones too.
func TestAckOfALeaveComesBehindLowMessages(t *testing.T) {
	serve(t, withRelays, unhurried, func(t *testing.T, s *webtest.Server, n *node.Node) {
		c, _ := joined(t, s, "40")
		c.Send(`421["join","x"]`)
		c.Expect(`431[{"ok":true}]`)
		x := n.In("/").To("x")
		stuck(n)
		x.Priority(node.Low).Emit("low")
		x.Emit("normal")
		x.Priority(node.High).Emit("high")
		c.Send(`422["leave","x"]`)
		synctest.Wait()
		x.Priority(node.High).Emit("after it")
		n.In("/").Emit("also after it")
		n.In("/").Priority(node.High).Emit("overtakes the ack")
		synctest.Wait()
		c.Expect(`42["being written"]`, `42["high"]`, `42["overtakes the ack"]`, `42["normal"]`, `42["low"]`, `432[{"ok":true}]`, `42["also after it"]`)
	})
}

// A client hears of its connection before anything of the namespace, and of its end
// behind all of it.
func TestConnectAndDisconnectEncloseTheNamespace(t *testing.T) {
	serve(t, withRelays, unhurried, func(t *testing.T, s *webtest.Server, n *node.Node) {
		c, _ := joined(t, s, "40")
		other := n.In("/other")
		stuck(n)
		n.In("/").Priority(node.Low).Emit("low")
		n.In("/").Emit("normal")
		c.Send("40/other,")
		synctest.Wait()
		other.Priority(node.Low).Emit("low")
		other.Priority(node.High).Emit("high")
		other.Disconnect(context.Background(), false)
		synctest.Wait()
		other.Priority(node.High).Emit("too late")
		n.In("/").Priority(node.High).Emit("high")
		synctest.Wait()
		c.Expect(`42["being written"]`, `42["normal"]`, `42["low"]`)
		if got, err := c.Next(); err != nil || !strings.HasPrefix(got, `40/other,{"sid":`) {
			t.Errorf("got %q, want the connect", got)
		}
		c.Expect(`42/other,["high"]`, `42["high"]`, `42/other,["low"]`, `41/other,`)
	})
}

// Clients with the msgpack parser have the same order.
func TestMessagePackClientsHavePrioritiesToo(t *testing.T) {
	for _, flags := range []wire.Flags{wire.High, wire.Low, 0} {
		m := &wire.Message{Envelope: &wire.Envelope{Namespace: "/", Flags: flags}, Payload: []byte(`["e"]`)}
		text := (&socket{parser: parserText}).event(&node.Delivery{Message: m})
		packed := (&socket{parser: parserMessagePack}).event(&node.Delivery{Message: m})
		if text.Place() != packed.Place() {
			t.Errorf("flags %b: places %v and %v", flags, text.Place(), packed.Place())
		}
	}
}
