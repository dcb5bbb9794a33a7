package web

import (
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/webtest"
)

// tokens lets those clients in whose token is a user's that is not revoked.
type tokens struct{ revoked atomic.Value }

func (k *tokens) use(n *node.Node) {
	n.Namespace("/").OnConnect(func(s *node.Session) error {
		var auth struct{ Token string }
		json.Unmarshal(s.Handshake().Auth, &auth)
		if auth.Token == k.revoked.Load() {
			return node.Errorf(node.CodeForbidden, "token is revoked")
		}
		return s.SetUser(auth.Token, nil)
	})
}

// connectAs is a Socket.IO client that comes with what auth has, and the answer to its CONNECT.
func connectAs(t *testing.T, b *box, auth string) (c *webtest.Conn, answer string) {
	t.Helper()
	c = b.clients.Dial("/socket.io/?EIO=4&transport=websocket")
	if _, err := c.Next(); err != nil {
		t.Fatal(err)
	}
	c.Send("40" + auth)
	answer, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	return c, answer
}

// TestSessionIsForItsUserAlone: a revoked token does not recover, another client's secret is of no use with a different
// user, and whose session it is gets it back after both have tried.
func TestSessionIsForItsUserAlone(t *testing.T) {
	onBoxesWith(t, 2, Config{}, node.Config{Recovery: time.Minute}, func(t *testing.T, b []*box) {
		var k tokens
		k.revoked.Store("")
		for _, x := range b {
			k.use(x.node)
		}
		ann, answer := connectAs(t, b[0], `{"token":"ann"}`)
		var first struct{ SID, PID string }
		if err := json.Unmarshal([]byte(strings.TrimPrefix(answer, "40")), &first); err != nil || first.PID == "" {
			t.Fatalf("answer %s", answer)
		}
		ann.Send(`421["join","r"]`)
		ann.Expect(`431[{"ok":true}]`)
		ann.Close()
		time.Sleep(time.Second)
		b[1].node.In("/").To("r").Emit("missed", 1)
		resume := func(user string) string { return `{"token":"` + user + `","pid":"` + first.PID + `"}` }

		k.revoked.Store("ann")
		c, answer := connectAs(t, b[1], resume("ann"))
		if want := `44{"message":"token is revoked"}`; answer != want {
			t.Errorf("with a revoked token %s, want %s", answer, want)
		}
		c.Close()
		k.revoked.Store("")

		bob, answer := connectAs(t, b[1], resume("bob"))
		if !strings.HasPrefix(answer, `40{"sid"`) || strings.Contains(answer, first.SID) || strings.Contains(answer, first.PID) {
			t.Errorf("another user got %s, want a new session", answer)
		}
		bob.Send(`421["publish","other","e",1]`) // the answer is the first that it gets
		bob.Expect(`431[{"ok":true}]`)
		bob.Close()

		ann, answer = connectAs(t, b[1], resume("ann"))
		if !strings.Contains(answer, first.SID) || !strings.Contains(answer, first.PID) {
			t.Errorf("the owner got %s, want %+v", answer, first)
		}
		if got, err := ann.Next(); err != nil || !strings.HasPrefix(got, `42["missed",1,"`) {
			t.Errorf("the owner got %s, %v, want what was missed", got, err)
		}
		_, metrics := b[1].ops.Get("/metrics")
		for _, sample := range []string{`{reason="not allowed"} 1`, `{reason="of another user"} 1`} {
			if !strings.Contains(metrics, "\nmeshrt_recovery_refused_total"+sample+"\n") {
				t.Errorf("no sample %s", sample)
			}
		}
		ann.Close()
	})
}
