//go:build unix

package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/meshrt/meshrt/wire/sio"
)

// grammar makes up packets that are nearly right: of the forms that servers
// read, with one thing or several wrong. The same seed makes the same packets.
type grammar struct{ *rand.Rand }

func pick[T any](g grammar, of ...T) T { return of[g.IntN(len(of))] }

// one tells whether the case of one in n has come.
func (g grammar) one(n int) bool { return g.IntN(n) == 0 }

// or is the right thing, and one time in forty one of the wrong ones.
func (g grammar) or(right string, wrong ...string) string {
	if g.one(40) {
		return pick(g, wrong...)
	}
	return right
}

func (g grammar) junk(most int) string {
	b := make([]byte, g.IntN(most+1))
	for i := range b {
		b[i] = byte(g.UintN(256))
	}
	return string(b)
}

func (g grammar) name() string {
	return g.or(pick(g, "message", "join", "leave", "publish", "broadcast", "direct", "presence", "__proto__", "\ud7ff😀", strings.Repeat("e", 1+g.IntN(300))),
		"connect", "disconnect", "disconnecting", "connect_error", "newListener", "removeListener", "", "\u0000")
}

func (g grammar) number() string {
	return g.or(pick(g, "0", "1", "-0", "1e999", "9007199254740993", "18446744073709551616", "-1.5e-300", fmt.Sprint(g.Int64())), "01", "1.", "NaN")
}

func (g grammar) placeholder() string {
	return pick(g, fmt.Sprintf(`{"_placeholder":true,"num":%d}`, g.IntN(4)), `{"_placeholder":true,"num":-1}`, `{"_placeholder":true,"num":1e9}`,
		`{"_placeholder":true}`, `{"_placeholder":true,"num":"0"}`, `{"_placeholder":1,"num":0}`, `{"num":0,"_placeholder":true,"x":[]}`,
		`{"_pl\u0061ceholder":true,"num":0}`, `{"_placeholder":true,"num":0,"num":1}`)
}

// json is a value, mostly valid.
func (g grammar) json(depth int) string {
	if depth > 0 && g.one(3) {
		var list []string
		for range g.IntN(5) {
			v := g.json(depth - 1)
			list = append(list, v)
		}
		if g.one(2) {
			return "[" + strings.Join(list, ",") + g.or("]", "", "}", ",]")
		}
		for i, v := range list {
			list[i] = fmt.Sprintf("%q:%s", g.name(), v)
		}
		return "{" + strings.Join(list, ",") + g.or("}", "", "]")
	}
	return pick(g, "null", "true", "false", g.number(), g.placeholder(), fmt.Sprintf("%q", g.name()), `"\ud800"`, `"`+strings.Repeat("x", g.IntN(2000))+`"`)
}

func (g grammar) args() string {
	args := []string{fmt.Sprintf("%q", g.name())}
	for range g.IntN(4) {
		args = append(args, g.json(4))
	}
	switch {
	case g.one(40):
		args = append(args, strings.Repeat("[", 5000)+strings.Repeat("]", 5000))
	case g.one(40):
		args = append(args, strings.Repeat("0,", 3000)+"0")
	}
	return "[" + strings.Join(args, ",") + "]"
}

// packet is the text of a Socket.IO packet.
func (g grammar) packet() string {
	kind := g.or(pick(g, "0", "2", "2", "2", "2", "2", "2", "3", "5"), "1", "4", "6", "7", "", "x")
	if kind == "5" || kind == "6" || g.one(50) {
		kind += g.or(pick(g, "1-", "1-", "2-", "0-"), "11-", "-", "1", "99999999999999999999-", "-1-", "1e1-")
	}
	kind += g.or("", "/,", "/a,", "/a?b=c&d=%zz,", "/"+strings.Repeat("n", g.IntN(400))+",", "/no comma", "/../,")
	kind += g.or(pick(g, "", "1", "0", "007"), "9007199254740992", "18446744073709551616", " 1", "-1")
	switch {
	case kind[:min(1, len(kind))] == "0":
		return kind + pick(g, "", "", "{}", `{"token":"x"}`, "[]", `"x"`, g.json(3))
	case kind[:min(1, len(kind))] == "1":
		return kind + pick(g, "", "", "", "{}")
	}
	return kind + g.args()
}

// message is an Engine.IO packet as text.
func (g grammar) message() string {
	text := g.or("4", "2", "3", "5", "6", "0", "1", "b", "7", "") + g.packet()
	if g.one(10) {
		text = pick(g, "2probe", "3probe", "5", "3", "2", "1", "b"+g.junk(20), "b4AAAA", "\x1e", "")
	}
	return g.spoil(text)
}

// packed is a packet as msgpack.
func (g grammar) packed() string {
	p := sio.Packet{Type: pick(g, sio.Connect, sio.Event, sio.Event, sio.Event, sio.Ack, sio.Disconnect), Namespace: g.or("/", "/a", "x"),
		AckID: g.Uint64(), HasAck: g.one(3), Data: []byte(g.args())}
	for range g.IntN(3) {
		p.Attachments = append(p.Attachments, []byte(g.junk(100)))
	}
	b, err := sio.AppendMessagePack(nil, p)
	if err != nil || g.one(20) {
		return g.junk(200)
	}
	return g.spoil(string(b))
}

// spoil changes one text in ten: cut, doubled, with a byte changed or put in.
func (g grammar) spoil(text string) string {
	if !g.one(10) || text == "" {
		return text
	}
	at := g.IntN(len(text))
	switch g.IntN(5) {
	case 0:
		return text[:at]
	case 1:
		return text[:at] + text[at/2:]
	case 2:
		return text[:at] + string([]byte{byte(g.UintN(256))}) + text[at+1:]
	case 3:
		return text[:at] + pick(g, "\x1e", "\x00", "\xff", "\xed\xa0\x80", "\u2028", "\\") + text[at:]
	}
	return text + text
}

// payload is the body of a POST.
func (g grammar) payload() string {
	var packets []string
	for range 1 + g.IntN(5) {
		packets = append(packets, g.message())
	}
	switch {
	case g.one(10):
		return strings.Repeat("\x1e", g.IntN(50_000))
	case g.one(10):
		return strings.Repeat("4\x1e", g.IntN(50_000))
	case g.one(40):
		return strings.Repeat("x", 1_000_001+g.IntN(100))
	}
	return strings.Join(packets, "\x1e")
}

// payloadV3 is the body of a POST of Engine.IO 3, of bytes or of text.
func (g grammar) payloadV3(bytes bool) string {
	var body strings.Builder
	for range 1 + g.IntN(4) {
		m := g.message()
		n := fmt.Sprint(len([]rune(m)) + pick(g, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, -1, 1<<30))
		if !bytes {
			body.WriteString(n + g.or(":", "", ";") + m)
			continue
		}
		digits := []byte(n)
		for i := range digits {
			digits[i] -= '0'
		}
		body.WriteString(g.or("\x00", "\x01", "\x02") + string(digits) + g.or("\xff", "") + m)
	}
	return g.spoil(body.String())
}

// frame is a websocket frame as bytes, mostly masked as it must be.
func (g grammar) frame() string {
	text := g.message()
	first := g.or("\x81", "\x82", "\x01", "\x00", "\x80", "\x88", "\x89", "\x8a", "\xf1", "\x83", "\x8f")[0]
	var head []byte
	switch n := len(text); {
	case g.one(60):
		head = []byte{first, 0xff, byte(g.UintN(256)), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff} // a length that lies
	case n < 126:
		head = []byte{first, 0x80 | byte(n)}
	default:
		head = []byte{first, 0xfe, byte(n >> 8), byte(n)}
	}
	if g.one(60) {
		head[1] &^= 0x80
	}
	return string(head) + "\x00\x00\x00\x00" + text
}

// command is a frame of a plain WebSocket client.
func (g grammar) command() string {
	kind := pick(g, "join", "leave", "publish", "broadcast", "direct", "emit", "presence", "ack", "x", "")
	return g.spoil(fmt.Sprintf(`{"type":%q,"id":%s,"room":%s,"event":%q,"to":%s,%q:%s}`, kind, g.number(), g.json(1), g.name(), g.json(1),
		pick(g, "data", "args", "data"), g.json(5)))
}
