package socketio

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/node/relay"
	"github.com/meshrt/meshrt/web/webtest"
)

// An ack that is shared is on the wire what it is by itself.
func TestSharedAckIsAnAck(t *testing.T) {
	a := node.PresenceList{Members: []node.Member{{ID: "a", Node: "n1"}, {ID: "b", User: "ü"}}}.Ack()
	for _, p := range []parser{parserText, parserMessagePack} {
		for _, namespace := range []string{"/", "/admin"} {
			for _, id := range []uint64{0, 7, 1 << 40} {
				c, d := &conn{parser: p}, &node.Delivery{Kind: node.KindAck, AckID: id, Args: a.Args(), Shared: a}
				got, want := c.sharedGroup(namespace, d).Frames(), c.group(ackPacket(namespace, d)).Frames()
				if len(got) != 1 || got[0].Opcode != want[0].Opcode || string(got[0].Data) != string(want[0].Data) {
					t.Errorf("parser %d: %q, want %q", p, got[0].Data, want[0].Data)
				}
			}
		}
	}
}

// Lists that are larger than what may wait for a client reach it, between events, and the second is made when
// the first is read: nobody is cut for asking.
func TestListsLargerThanTheQueueReachTheirClient(t *testing.T) {
	small := func(c *Config) { c.Engine.QueueBytes, c.Engine.PingInterval = 2000, 0 }
	serve(t, func(n *node.Node) { relay.Attach(n.Namespace("/")) }, small, func(t *testing.T, s *webtest.Server, n *node.Node) {
		const members = 200
		var others []*node.Session
		for range members {
			m, err := n.Open(t.Context(), node.SessionConfig{Namespace: "/", Sink: deaf{}})
			if err != nil || m.Join(t.Context(), "lobby") != nil {
				t.Fatal(err)
			}
			others = append(others, m)
		}
		c, _ := joined(t, s, "40")
		c.Send(`420["join","news"]`)
		c.Expect(`430[{"ok":true}]`)
		c.Send(`421["presence","lobby"]`, `422["presence","lobby"]`)
		synctest.Wait()
		others[0].Leave("lobby") // told behind the first list, and not in the second
		for i := range 3 {
			n.In("/").To("news").Emit("news", i, strings.Repeat("x", 500))
		}
		synctest.Wait()
		var got []string
		for len(got) < 6 {
			text, err := c.Next()
			if err != nil {
				t.Fatalf("after %q: %v", got, err)
			}
			switch {
			case strings.HasPrefix(text, "43"):
				text = fmt.Sprint(text[:3], " ", strings.Count(text, `"id"`))
			case len(text) > 12:
				text = text[4:12]
			}
			if got = append(got, text); text == "2" {
				got = got[:len(got)-1]
				c.Send("3")
			}
		}
		slices.Sort(got[1:]) // the second comes as soon as the first is out
		if want := []string{"431 200", "432 199", `member_l`, `news",0,`, `news",1,`, `news",2,`}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		for _, m := range others {
			m.Close("")
		}
		c.Close()
		synctest.Wait()
	})
}

type deaf struct{}

func (deaf) Deliver(*node.Delivery) bool { return true }
func (deaf) Flush()                      {}
func (deaf) Close(bool)                  {}
