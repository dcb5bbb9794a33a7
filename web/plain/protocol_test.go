package plain_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/plain"
	"github.com/meshrt/meshrt/wire"
)

func TestWelcomeTellsTheSessionAndTheNode(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		opened := make(chan *node.Session, 1)
		h.main.OnConnect(func(s *node.Session) error {
			opened <- s
			return s.Emit("hello", "early")
		})
		c := h.connect("?token=x")
		seen := <-opened
		c.want(fmt.Sprintf(`{"type":"welcome","id":%q,"node":"n1"}`, seen.ID()), `{"type":"event","event":"hello","data":"early"}`)
		if hs := seen.Handshake(); hs.Protocol != "websocket" || hs.Query.Get("token") != "x" || hs.Header.Get("Upgrade") == "" || hs.Remote == "" {
			t.Errorf("handshake %+v", hs)
		}
	})
}

// Nothing can be resumed yet, and a client that asks must not believe it was.
func TestResumeIsDeclined(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		c := h.connect("?session=secret&cursor=12")
		if got := c.read(); !strings.HasSuffix(got, `"node":"n1","recovered":false}`) || strings.Contains(got, "secret") {
			t.Errorf("welcome %s, want recovered false", got)
		}
	})
}

func TestRoomsReachTheirOtherMembers(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		a, b, c := h.open(), h.open(), h.open()
		a.join("r")
		b.join("r")
		a.send(`{"type":"publish","id":1,"room":"r","event":"news","data":{"n":1}}`)
		a.want(`{"type":"ack","id":1,"ok":true}`)
		b.want(`{"type":"event","room":"r","event":"news","data":{"n":1},"from":"` + a.id + `"}`)

		b.send(`{"type":"leave","id":2,"room":"r"}`)
		b.want(`{"type":"ack","id":2,"ok":true}`)
		a.send(`{"type":"publish","room":"r","event":"news","data":2}`, // b has left, c was never there
			`{"type":"broadcast","id":3,"event":"all","args":[1,"two",{"three":3}]}`)
		a.want(`{"type":"ack","id":3,"ok":true}`)
		all := `{"type":"event","event":"all","data":1,"args":[1,"two",{"three":3}],"from":"` + a.id + `"}`
		b.want(all)
		c.want(all)
	})
}

func TestDirectReachesOneSession(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		a, b := h.open(), h.open()
		gone := h.open()
		gone.CloseNow()
		synctest.Wait()
		a.send(`{"type":"direct","id":1,"to":"`+b.id+`","event":"psst","data":"b only"}`,
			`{"type":"direct","id":2,"to":"`+gone.id+`","event":"psst"}`,
			`{"type":"direct","id":3,"to":"nobody","event":"psst"}`)
		b.want(`{"type":"event","event":"psst","data":"b only","from":"` + a.id + `"}`)
		a.want(`{"type":"ack","id":1,"ok":true}`,
			`{"type":"ack","id":2,"ok":false,"error":"no socket `+gone.id+`","code":"unavailable"}`,
			`{"type":"ack","id":3,"ok":false,"error":"\"nobody\" is no socket id","code":"invalid"}`)
	})
}

func TestEmitReachesTheHandlers(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		h.main.On("add", func(e *node.Event) {
			var a, b int
			if e.Arg(0, &a) != nil || e.Arg(1, &b) != nil {
				e.Ack(node.Result{Error: "two numbers, please", Code: node.CodeInvalid})
				return
			}
			e.Ack(a+b, []byte("raw"))
		})
		h.main.On("panic", func(*node.Event) { panic("a bug of the application") })
		c := h.open()
		c.send(`{"type":"emit","id":9007199254740991,"event":"add","args":[2,3]}`)
		c.want(`{"type":"ack","id":9007199254740991,"ok":true,"data":5,"args":[5,{"$binary":"cmF3"}]}`)
		c.send(`{"type":"emit","id":1,"event":"add","data":2}`)
		c.want(`{"type":"ack","id":1,"ok":false,"error":"two numbers, please","code":"invalid"}`)
		c.send(`{"type":"emit","id":2,"event":"panic"}`)
		c.want(`{"type":"ack","id":2,"ok":false,"error":"internal error","code":"unavailable"}`)
	})
}

func TestClientAnswersAnEvent(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		h.main.On("ask me", func(e *node.Event) {
			answer, err := e.Session.EmitWithAck(context.Background(), "ask", "why?")
			if err != nil {
				e.Ack(node.ResultOf(err))
				return
			}
			e.Ack(node.Result{OK: true, Error: string(answer.Args.Join())})
		})
		c := h.open()
		c.send(`{"type":"emit","id":5,"event":"ask me"}`)
		c.want(`{"type":"event","event":"ask","data":"why?","ack":1}`)
		c.send(`{"type":"ack","id":2,"args":["unasked"]}`, `{"type":"ack","id":1,"args":[1,{"b": 2}]}`, `{"type":"ack","id":1,"data":"double"}`)
		c.want(`{"type":"ack","id":5,"ok":true,"error":"[1,{\"b\": 2}]"}`)
		c.send(`{"type":"ack"}`)
		c.want(`{"type":"error","error":"id is missing","code":"invalid"}`)
	})
}

func TestAttachmentsAreBase64(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		c := h.open()
		c.join("r")
		args := wire.Args{[]byte(`{"file":{"_placeholder":true,"num":0}}`), []byte(`{"_placeholder":true,"num":1}`)}
		if err := h.node.In("/").To("r").EmitArgs("upload", args, [][]byte{{1, 2, 3}, {}}); err != nil {
			t.Fatal(err)
		}
		file, empty := `{"file":{"$binary":"AQID"}}`, `{"$binary":""}`
		c.want(`{"type":"event","room":"r","event":"upload","data":` + file + `,"args":[` + file + `,` + empty + `]}`)
	})
}

func TestCommandWithoutIDIsAnsweredOnlyWhenItFails(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		for event, answer := range map[string]any{
			"fine": node.Result{OK: true}, "value": 5, "false": false, "list": []any{map[string]bool{"ok": false}},
			"bare": map[string]any{"ok": false}, "odd": map[string]any{"ok": false, "error": 5, "code": nil}, "loud": map[string]any{"OK": false},
		} {
			h.main.On(event, func(e *node.Event) { e.Ack(answer) })
		}
		h.main.On("two", func(e *node.Event) { e.Ack(map[string]bool{"ok": false}, map[string]bool{}) })
		c := h.open()
		for _, event := range []string{"fine", "value", "false", "list", "loud", "two"} {
			c.send(`{"type":"emit","event":"` + event + `"}`) // silent
		}
		c.send(`{"type":"join","room":"r"}`, `{"type":"leave","room":"r"}`, `{"type":"publish","room":"r","event":"x"}`,
			`{"type":"broadcast","event":"x"}`, `{"type":"direct","to":"`+c.id+`","event":"me"}`)
		c.want(`{"type":"event","event":"me","from":"` + c.id + `"}`)
		c.send(`{"type":"emit","event":"bare"}`)
		c.want(`{"type":"error","error":"the command failed","code":"unavailable"}`)
		c.send(`{"type":"emit","event":"odd"}`)
		c.want(`{"type":"error","error":"the command failed","code":"unavailable"}`)
		c.send(`{"type":"publish","room":"r","event":"connect"}`)
		c.want(`{"type":"error","error":"event name \"connect\" is reserved","code":"invalid"}`)
	})
}

func TestCommandThatMakesNoSenseIsAnsweredAndTheConnectionStays(t *testing.T) {
	deep := strings.Repeat("[", wire.MaxDepth) + strings.Repeat("]", wire.MaxDepth)
	for name, tt := range map[string]struct{ sent, error string }{
		"no JSON":         {`hello`, "the command is not a JSON object"},
		"no object":       {`[1]`, "the command is not a JSON object"},
		"empty":           {``, "the command is not a JSON object"},
		"no type":         {`{"id":7}`, "type is missing"},
		"unknown type":    {`{"type":"fly","id":7}`, `unknown type "fly"`},
		"id of no number": {`{"type":"join","id":"7","room":"r"}`, "id must be an integer from 0 to 9007199254740991"},
		"id of ours":      {`{"type":"join","id":9007199254740992,"room":"r"}`, "id must be an integer from 0 to 9007199254740991"},
		"no room":         {`{"type":"join","id":7}`, "room is missing"},
		"data and args":   {`{"type":"emit","id":7,"event":"x","data":1,"args":[]}`, "data and args exclude each other"},
		"too deep":        {`{"type":"broadcast","id":7,"event":"x","data":` + deep + `}`, "nested deeper than 512"},
		"no handler":      {`{"type":"emit","id":7,"event":"x"}`, `no handler for event "x"`},
		"reserved":        {`{"type":"emit","id":7,"event":"disconnect"}`, `event name "disconnect" is reserved`},
		"reserved for others": {`{"type":"broadcast","id":7,"event":"disconnecting"}`,
			`event name "disconnecting" is reserved`},
		"verb without arguments": {`{"type":"emit","id":7,"event":"join"}`, "join needs a string as argument 1: the room"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
				c := h.open()
				want := fmt.Sprintf(`{"type":"error","error":%q,"code":"invalid"}`, tt.error)
				if strings.Contains(tt.sent, `"id":7`) {
					want = fmt.Sprintf(`{"type":"ack","id":7,"ok":false,"error":%q,"code":"invalid"}`, tt.error)
				}
				c.send(tt.sent)
				c.want(want)
				c.join("still here")
			})
		})
	}
}

func TestDeepestCommandIsPublished(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		a, b := h.open(), h.open()
		deep := strings.Repeat("[", wire.MaxDepth-1) + strings.Repeat("]", wire.MaxDepth-1)
		a.send(`{"type":"broadcast","id":1,"event":"x","data":` + deep + `}`)
		a.want(`{"type":"ack","id":1,"ok":true}`)
		b.want(`{"type":"event","event":"x","data":` + deep + `,"from":"` + a.id + `"}`)
	})
}

func TestBinaryFrameIsAnsweredAndTheConnectionStays(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		c := h.open()
		c.Write(context.Background(), websocket.MessageBinary, []byte(`{"type":"join","id":1,"room":"r"}`))
		c.want(`{"type":"error","error":"binary frames are not used: send commands as text","code":"invalid"}`)
		c.join("still here")
		if got := h.server.Stats(); got.Invalid != 1 || got.Commands != 1 {
			t.Errorf("stats %+v, want 1 command and 1 that was none", got)
		}
	})
}

// What an answer reports has arrived before it, from the application and from
// others; and answers come in the order of the commands.
func TestAnswerComesBehindTheMessagesBeforeIt(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		h.main.On("count", func(e *node.Event) {
			for i := range 3 {
				e.Session.Emit("n", i)
			}
			e.Session.Namespace().To("r").Emit("room", 3)
			e.Ack(node.Result{OK: true})
		})
		c := h.open()
		c.join("r")
		c.send(`{"type":"emit","id":1,"event":"count"}`, `nonsense`, `{"type":"leave","id":2,"room":"r"}`)
		for i := range 3 {
			c.want(fmt.Sprintf(`{"type":"event","event":"n","data":%d}`, i))
		}
		c.want(`{"type":"event","room":"r","event":"room","data":3}`,
			`{"type":"ack","id":1,"ok":true}`,
			`{"type":"error","error":"the command is not a JSON object","code":"invalid"}`,
			`{"type":"ack","id":2,"ok":true}`)
	})
}

func TestStatsCountWhatHappened(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		c := h.open()
		h.open()
		sent, ack := `{"type":"join","id":0,"room":"r"}`, `{"type":"ack","id":0,"ok":true}`
		c.join("r")
		synctest.Wait()
		got := h.server.Stats()
		hello := 2 * len(`{"type":"welcome","id":"","node":"n1"}`+c.id)
		if got.Open != 2 || got.Opened != 2 || got.Commands != 1 || got.MessagesIn != 1 || got.BytesIn != uint64(len(sent)) ||
			got.MessagesOut != 3 || got.BytesOut != uint64(hello+len(ack)) {
			t.Errorf("stats %+v", got)
		}
		c.CloseNow()
		synctest.Wait()
		got = h.server.Stats()
		if got.Open != 1 || got.Opened != 2 || got.Closed["transport close"] != 1 || len(got.Closed) < 8 {
			t.Errorf("after one left: %+v", got)
		}
	})
}
