package plain_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/plain"
)

// named is the frame of an event without arguments.
func named(name string) string { return `{"type":"event","event":"` + name + `"}` }

func TestHighMessageOvertakesAThousandThatWait(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		c, e := h.open(), h.stream("")
		synctest.Wait()
		h.main.Emit("first")
		synctest.Wait() // the writers wait for the clients
		h.main.To().Priority(node.Low).Emit("low")
		for range 1000 {
			h.main.Emit("normal")
		}
		h.main.To().Priority(node.High).Emit("high", []byte{1})
		synctest.Wait()
		high := `{"type":"event","event":"high","data":{"$binary":"AQ=="}}`
		c.want(named("first"), high)
		e.want(event("first", named("first")), event("high", high))
		for range 1000 {
			c.want(named("normal"))
			e.want(event("normal", named("normal")))
		}
		c.want(named("low"))
		e.want(event("low", named("low")))
	})
}

func TestCommandsHaveAPriority(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		a, b := h.open(), h.open()
		b.join("x")
		h.main.To(b.id).Emit("first")
		synctest.Wait()
		a.send(`{"type":"publish","room":"x","event":"low","priority":"low"}`,
			`{"type":"publish","room":"x","event":"normal","priority":"normal","data":"<"}`,
			`{"type":"broadcast","event":"high","priority":"high"}`,
			`{"type":"direct","to":"`+b.id+`","event":"dm","priority":"high","args":[1,2]}`,
			`{"type":"emit","id":1,"event":"broadcast","args":["normal too"],"priority":"of no use"}`)
		a.want(`{"type":"ack","id":1,"ok":true}`)
		synctest.Wait()
		b.want(named("first"), `{"type":"event","event":"high","from":"`+a.id+`"}`, `{"type":"event","event":"dm","data":1,"args":[1,2],"from":"`+a.id+`"}`,
			`{"type":"event","room":"x","event":"normal","data":"<","from":"`+a.id+`"}`, `{"type":"event","event":"normal too","from":"`+a.id+`"}`,
			`{"type":"event","room":"x","event":"low","from":"`+a.id+`"}`)
		for command, answer := range map[string]string{
			`{"type":"publish","id":7,"room":"x","event":"e","priority":"urgent"}`: `priority must be high, normal or low, not \"urgent\"`,
			`{"type":"publish","id":7,"room":"x","event":"e","priority":1}`:        `priority must be a string`,
			`{"type":"direct","id":7,"to":"x","event":"e","priority":""}`:          `priority must not be empty`,
		} {
			a.send(command)
			a.want(`{"type":"ack","id":7,"ok":false,"error":"` + answer + `","code":"invalid"}`)
		}
	})
}

func TestACommandWithAKeyIsDoneOnce(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		a, b := h.open(), h.open()
		b.join("x")
		for range 2 {
			for i, command := range []string{
				`{"type":"publish","id":0,"room":"x","event":"e","idempotency_key":"k1","priority":"high"}`,
				`{"type":"broadcast","id":1,"event":"e","data":1,"idempotency_key":"k2"}`,
				`{"type":"direct","id":2,"to":"` + b.id + `","event":"e","idempotency_key":"k3"}`,
			} {
				a.send(command)
				a.want(fmt.Sprintf(`{"type":"ack","id":%d,"ok":true}`, i))
			}
		}
		a.send(`{"type":"publish","id":3,"room":"x","event":"e","data":1,"idempotency_key":"k1"}`)
		a.want(`{"type":"ack","id":3,"ok":false,"error":"the idempotency_key was used for another message","code":"invalid"}`)
		a.send(`{"type":"broadcast","id":4,"event":"last","idempotency_key":null}`)
		a.want(`{"type":"ack","id":4,"ok":true}`)
		synctest.Wait()
		b.want(`{"type":"event","room":"x","event":"e","from":"`+a.id+`"}`, `{"type":"event","event":"e","data":1,"from":"`+a.id+`"}`,
			`{"type":"event","event":"e","from":"`+a.id+`"}`, `{"type":"event","event":"last","from":"`+a.id+`"}`)
	})
}

// What a handler sends to a client that is not connected yet comes behind its welcome.
func TestNothingOvertakesTheWelcome(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		h.main.OnConnect(func(s *node.Session) error {
			return h.main.To(s.ID()).Priority(node.High).Emit("high")
		})
		h.open().want(named("high"))
	})
}

// An answer, with an id or not, comes behind all that was sent before it.
func TestAckOfALeaveComesBehindLowMessages(t *testing.T) {
	inBubble(t, plain.Config{}, func(t *testing.T, h *host) {
		for command, answer := range map[string]string{
			`{"type":"leave","id":2,"room":"x"}`: `{"type":"ack","id":2,"ok":true}`,
			`{"type":"leave"}`:                   `{"type":"error","error":"room is missing","code":"invalid"}`,
		} {
			c := h.connect("")
			synctest.Wait() // the welcome is being written
			h.main.To().Priority(node.Low).Emit("low")
			h.main.Emit("normal")
			c.send(command)
			synctest.Wait()
			h.main.To().Priority(node.High).Emit("high")
			synctest.Wait()
			if got := c.read(); !welcome.MatchString(got) {
				t.Errorf("first %s", got)
			}
			c.want(named("high"), named("normal"), named("low"), answer)
			c.CloseNow()
			synctest.Wait()
		}
	})
}
