package node

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/recovery"
	"github.com/meshrt/meshrt/node/once"
	"github.com/meshrt/meshrt/wire"
)

// fuzzed is a node with recovery that does not run, and a client of it in "room".
func fuzzed(f *testing.F) *Node {
	n, err := New(Config{Recovery: time.Minute, Shards: 1})
	if err != nil {
		f.Fatal(err)
	}
	n.Namespace("/").OnServer("e", func(*ServerEvent) {})
	s := n.newSession(wire.NewSessionID(n.ID()), n.Namespace("/"), SessionConfig{Sink: deaf{}})
	if _, err := s.register(); err != nil {
		f.Fatal(err)
	}
	s.admit()
	s.JoinFunc([]string{"room"}, func(error) {})
	return n
}

// FuzzRequest: whatever other nodes ask, there is an answer or an error.
func FuzzRequest(f *testing.F) {
	n := fuzzed(f)
	questions := []struct {
		method string
		sample any
	}{
		{"count", nil},
		{"rooms", Query{Namespace: "/", Limit: 1}},
		{"sockets", socketQuery{Target: target{Namespace: "/", Rooms: []string{"room"}}, Limit: 1}},
		{"history", historyQuery{Namespace: "/", Room: "room", Limit: 1, Except: []string{"x"}, Until: recovery.Vector{7: {1}}}},
		{"change", change{Target: target{Namespace: "/", Rooms: []string{"room"}}, Kind: changeJoin, Rooms: []string{"other"}}},
		{"server", serverRequest{"/", []byte(`["e",{"_placeholder":true,"num":0}]`), [][]byte{{1}}, 10}},
		{"barrier", barrierRequest{[]wire.Topic{{Namespace: "/", Room: "room"}}}},
		{"moved-ack", movedAck{Socket: "x", Ack: ackEntry{Args: []byte(`[1]`)}, ID: 1}},
		{"moved-end", movedEnd{"x"}},
		{"copied", recovery.Ref{Origin: n.ID(), Stream: 9, Seq: 1}},
		{"acks", ackRequest{Seq: 1, Namespace: "/", Rooms: []string{"room"}, Stream: 9, Timeout: 10}},
		{onceMethod, nil},
		{"none", nil},
	}
	for i, q := range questions {
		body, err := wire.Marshal(q.sample)
		if err != nil {
			f.Fatal(err)
		}
		if q.method == onceMethod {
			body = once.AppendClaim(nil, once.Claim{Key: once.Key{1}, N: 1})
		}
		f.Add(uint8(i), body)
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		answer, err := remote{n}.HandleRequest(ctx, 7, questions[int(which)%len(questions)].method, body)
		if later := cluster.Later(nil); errors.As(err, &later) {
			answer, err = later(ctx)
		}
		if err != nil && answer != nil {
			t.Errorf("%x and %v", answer, err)
		}
	})
}

// FuzzAnswer: whatever other nodes answer, it is taken or left.
func FuzzAnswer(f *testing.F) {
	for _, sample := range []any{
		historyPage{Entries: []historyEntry{{Origin: 7, Flags: wire.High, Seq: 2, Age: 1, From: "s", Payload: []byte(`["e"]`), Attachments: [][]byte{{1}}}}, Origins: []wire.NodeID{7}},
		ackReply{Answers: []ackEntry{{"x", []byte(`[1]`), nil}}, Silent: []Silence{{}}},
		socketPage{Sockets: []socketEntry{{}}, More: true},
		serverReply{Handled: true, Args: []byte(`[1]`)}, changeReply{1, 2}, true,
	} {
		body, err := wire.Marshal(sample)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body, "")
	}
	f.Add([]byte{}, historyID(recovery.Ref{Origin: 7, Seq: 1}))
	f.Fuzz(func(t *testing.T, body []byte, id string) {
		var page historyPage
		if wire.Unmarshal(body, &page) == nil {
			var p pasts
			p.add(page)
			p.add(page)
			list, _ := newest(p.merge(), MaxHistory)
			if _, ok := parseHistoryID(id); ok {
				list, _ = after(list, id, true)
			}
			for _, e := range list {
				if m := e.message(historyQuery{Namespace: "/", Room: "room"}); m.Message.Seq != e.Seq {
					t.Errorf("%+v became %+v", e, m)
				}
			}
			if len(list) > len(page.Entries) {
				t.Errorf("%d messages of %d", len(list), len(page.Entries))
			}
		}
		var acks ackReply
		if wire.Unmarshal(body, &acks) == nil {
			acks.addTo(&Acks{})
		}
		for _, v := range []any{&socketPage{}, &serverReply{}, &changeReply{}, new(bool)} {
			wire.Unmarshal(body, v)
		}
	})
}

// FuzzMessage: whatever other nodes publish, to clients, to servers, of keys and of presence, it is
// handed out or left.
func FuzzMessage(f *testing.F) {
	n := fuzzed(f)
	add := func(namespace string, flags wire.Flags, payload []byte, attachments ...[]byte) {
		b := wire.AppendData(nil, &wire.Message{Envelope: &wire.Envelope{Namespace: namespace, Rooms: []string{"room"}, Flags: flags, Attachments: attachments},
			Seq: 1, Payload: payload}, false)
		f.Add(b[4:]) // without the length
	}
	add("/", 0, []byte(`["e",1]`))
	add("/", wire.WantAck|wire.WithSender, []byte(`["e",1]`))
	add("/", wire.Barrier|wire.High, []byte("12345678"))
	add("/", wire.Barrier, nil)
	add(serverPrefix+"/", 0, []byte(`["e",{"_placeholder":true,"num":0}]`), []byte{1})
	add(onceTopic, 0, once.AppendNotice(nil, once.Notice{Key: once.Key{1}, N: 7}))
	add(presencePrefix+"/", 0, []byte{0x90})
	seq := uint64(0)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := wire.DecodeData(b, 7)
		if err != nil {
			return
		}
		seq++
		m.Seq = seq // the cluster hands on rising ones only
		remote{n}.HandleMessages([]*wire.Message{m})
	})
}
