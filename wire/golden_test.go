package wire

import (
	"encoding/hex"
	"iter"
	"testing"
)

// next is the first of frames.
func next(frames iter.Seq[[]byte]) (first []byte) {
	for first = range frames {
		break
	}
	return first
}

// TestBytesOfVersion1: what nodes of this version have sent, later ones must be able to
// read, and to send to them. A line changes only with a new version of the protocol.
func TestBytesOfVersion1(t *testing.T) {
	message := &Message{Envelope: &Envelope{Namespace: "/", Rooms: []string{"room"}, Except: []string{"x"}, Flags: Volatile, From: "s", Attachments: [][]byte{{1, 2}}}, Seq: 300, Payload: []byte(`["e",{"_placeholder":true,"num":0}]`)}
	topics := []Topic{{"/", ""}, {"/", "r"}, {"/x", "r"}}
	for _, tt := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"hello", AppendHello(nil, Hello{1, 2, 3, "n1", "10.0.0.1:7946", 0}), "000000169601010203a26e31ad31302e302e302e313a37393436"},
		{"hello with features", AppendHello(nil, Hello{1, 2, 3, "n1", "10.0.0.1:7946", FeatureRecovery}), "000000179701010203a26e31ad31302e302e302e313a3739343601"},
		{"sync", AppendSync(nil, Sync{Frontiers{7, 8, 200}, 9, false, topics, true}), "0000001898020709c29292a12f92a0a17292a22f7891a172c308ccc8"},
		{"interest", AppendInterest(nil, Interest{9, true, Topic{"/", "r"}}), "00000008950309c3a12fa172"},
		{"intack", AppendNumber(nil, KindIntAck, 9), "00000003920409"},
		{"data", AppendData(nil, message, false), "0000003e9a05cd012ca12f91a4726f6f6d91a1780100a173c4235b2265222c7b225f706c616365686f6c646572223a747275652c226e756d223a307d5d91c4020102"},
		{"ping", AppendNumber(nil, KindPing, 1), "00000003920601"},
		{"pong", AppendNumber(nil, KindPong, 1), "00000003920701"},
		{"peers", AppendPeers(nil, []string{"10.0.0.1:7946"}), "00000011920891ad31302e302e302e313a37393436"},
		{"bye", AppendBye(nil, "node is leaving"), "000000129209af6e6f6465206973206c656176696e67"},
		{"request", AppendRequest(nil, Request{ID: 5, Method: "rooms", Body: []byte{0x90}}), "0000000c940a05a5726f6f6d73c40190"},
		{"request with a timeout", AppendRequest(nil, Request{ID: 5, Method: "rooms", Body: []byte{0x90}, Timeout: 5000}), "0000000f950a05a5726f6f6d73c40190cd1388"},
		{"request behind messages", AppendRequest(nil, Request{ID: 5, Method: "rooms", Body: []byte{0x90}, After: Frontiers{300, 0, 1}}), "00000012980a05a5726f6f6d73c4019000cd012c0001"},
		{"counts", AppendCounts(nil, Counts{CountsWhole | CountsFirst, []Count{{topics[0], 300}, {topics[1], 1}, {topics[2], 0}}}), "000000179310039292a12f94a0cd012ca1720192a22f7892a17200"},
		{"confirm", AppendNumber(nil, KindConfirm, 300), "000000059211cd012c"},
		{"reply", AppendReply(nil, Reply{ID: 5, Error: "", Body: []byte{0x90}}), "00000007940b05a0c40190"},
		{"ask", AppendLease(nil, KindAsk, 1_000_000_000, Frontiers{300, 1, 2}), "0000000c950cce3b9aca00cd012c0102"},
		{"grant", AppendLease(nil, KindGrant, 1_000_000_000, Frontiers{300, 1, 2}), "0000000c950dce3b9aca00cd012c0102"},
		{"ack", AppendAck(nil, Frontiers{300, 1, 2}), "00000007940ecd012c0102"},
		{"recovery", next(RecoveryFrames(append(StartRecovery(nil), 0x91, 6))), "0000000a9312c2c6000000029106"},
		{"gap", AppendGap(nil, Gap{300, StreamLow}), "00000006930fcd012c02"},
	} {
		if got := hex.EncodeToString(tt.frame); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}
