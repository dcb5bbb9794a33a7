//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// rawSocket is a websocket whose frames are written by hand.
type rawSocket struct {
	net.Conn
	in *bufio.Reader
}

func dialRaw(t *testing.T, n *node, path, extensions string) *rawSocket {
	t.Helper()
	c, err := net.Dial("tcp", n.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Extensions: %s\r\n\r\n", path, extensions)
	s := &rawSocket{c, bufio.NewReader(c)}
	resp, err := http.ReadResponse(s.in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: %v %v", resp, err)
	}
	if got := resp.Header.Get("Sec-WebSocket-Extensions"); strings.HasPrefix(got, "permessage-deflate") != (extensions != "") {
		t.Fatalf("negotiated %q for %q", got, extensions)
	}
	return s
}

// frame is one of a client, with the mask 0.
func frame(first byte, data []byte) []byte {
	head := binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, uint64(len(data)))
	return append(append(head, 0, 0, 0, 0), data...)
}

// end reads to the end and gives the status of the close frame, 0 for none.
func (s *rawSocket) end() int {
	s.SetReadDeadline(time.Now().Add(10 * time.Second))
	for {
		var head [2]byte
		if _, err := io.ReadFull(s.in, head[:]); err != nil {
			return 0
		}
		size := int64(head[1] & 0x7f)
		if size == 126 {
			var long [2]byte
			io.ReadFull(s.in, long[:])
			size = int64(binary.BigEndian.Uint16(long[:]))
		}
		data := make([]byte, size)
		if _, err := io.ReadFull(s.in, data); err != nil {
			return 0
		}
		if head[0] == 0x88 && size >= 2 {
			return int(binary.BigEndian.Uint16(data))
		}
	}
}

// websockets are the paths of those that clients may open.
var websockets = map[string]string{"socket.io": "/socket.io/?EIO=4&transport=websocket", "plain": "/ws"}

// A message that is small only on the wire is closed with 1009, and costs no more
// than one of -max-payload.
func TestCompressedBombsAreDisarmed(t *testing.T) {
	var bomb bytes.Buffer
	w, err := flate.NewWriter(&bomb, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	const size = 256 << 20
	for range size >> 20 {
		w.Write(make([]byte, 1<<20))
	}
	w.Flush()
	if ratio := size / bomb.Len(); ratio < 1000 {
		t.Fatalf("a bomb of %d:1", ratio)
	}
	n := alone(t, 0, "-compression")
	n.flood("nobody", 50<<20)
	var fits bytes.Buffer
	w.Reset(&fits)
	w.Write(make([]byte, 900_000))
	w.Flush()
	for _, path := range websockets { // what the first message of that size costs
		s := dialRaw(t, n, path, "permessage-deflate; client_max_window_bits")
		s.Write(frame(0xc2, fits.Bytes()))
		s.Write(frame(0x88, []byte{3, 0xe8}))
		s.end()
		s.Close()
	}
	before := n.peak()
	for name, path := range websockets {
		for range 3 {
			s := dialRaw(t, n, path, "permessage-deflate; client_max_window_bits")
			go s.Write(frame(0xc1, bomb.Bytes()))
			if got := s.end(); got != 1009 {
				t.Errorf("%s: closed with %d, want 1009", name, got)
			}
			s.Close()
		}
	}
	grown := n.peak() - before
	if grown > 8<<20 {
		t.Errorf("memory grew by %d KiB, want less than 8 MiB", grown>>10)
	}
	t.Logf("6 bombs of %d:1: memory grew by %d KiB over %d KiB", size/bomb.Len(), grown>>10, before>>10)
	eventually(t, 10*time.Second, "all are counted", func() bool {
		return n.metric(`meshrt_connections_closed_total{protocol="websocket",reason="message too big"}`) == 3
	})
}

// What has ended the processes of others ends its own connection at most, on each
// way in, and everybody else stays.
func TestCraftedPacketsEndTheirConnectionOnly(t *testing.T) {
	n := alone(t, 0)
	witness := dialDeaf(t, n, "/ws")
	witness.expect(`{"type":"welcome"`)
	binaryEvent := func(data string) []string { return []string{data, "\x00binary", "\x00more"} }
	for _, packets := range [][]string{
		{""}, {"4"}, {"42"}, {"42["}, {"42[]"}, {"42{}"}, {"42[null]"}, {"42[{}]"}, {`42["constructor"]`}, {`42["__proto__",{"__proto__":1}]`},
		{`42["connect"]`}, {`42["disconnecting"]`}, {`42/,["x"]`}, {"42/nope,[1]"}, {"4" + strings.Repeat("[", 100_000)}, {`42["e",` + strings.Repeat("[", 400_000)},
		{"4299999999999999999999999[\"e\"]"}, {"43[]"}, {"431[]"}, {"44"}, {"45-[]"}, {"4599999999999-[\"e\"]"}, {"40" + strings.Repeat("/", 1000)},
		{"40/,{"}, {"40[]"}, {"40null"}, {"2"}, {"2probe"}, {"3"}, {"5"}, {"6"}, {"9"}, {"b"}, {"bAAA"}, {"b====="}, {"\x1e\x1e\x1e"}, {strings.Repeat("\n", 500_000)},
		{strings.Repeat("2\x1e", 100_000)}, {"4\xff\xfe"}, {"4\xed\xa0\x80"}, {"null"}, {"{}"}, {"[]"}, {`{"type":null}`}, {`{"type":"join","room":{}}`},
		{`{"type":"publish","room":"r","event":"connect"}`}, {`{"type":"emit","event":"e","args":` + strings.Repeat("[", 100_000)}, {`{"id":1e400,"type":"join"}`},
		binaryEvent(`452-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]`), binaryEvent(`452-["e",{"_placeholder":true,"num":"splice"}]`),
		binaryEvent(`452-["e",{"_placeholder":true,"num":-1}]`), binaryEvent(`452-["e",{"_placeholder":true,"num":1e99}]`), binaryEvent(`462-1["e",{"_placeholder":1}]`),
		binaryEvent(`4511-["e"]`), binaryEvent(`451-{}`), {"\x00binary before any header"},
	} {
		for _, path := range websockets {
			s := dialRaw(t, n, path, "")
			s.SetDeadline(time.Now().Add(5 * time.Second))
			s.Write(frame(0x81, []byte("40")))
			for _, p := range packets {
				opcode := byte(0x81)
				if strings.HasPrefix(p, "\x00") {
					opcode, p = 0x82, p[1:]
				}
				s.Write(frame(opcode, []byte(p)))
			}
			s.Write(frame(0x88, []byte{3, 0xe8}))
			s.end()
			s.Close()
		}
		c := &cycler{}
		c.Conn, _ = net.Dial("tcp", n.HTTP)
		c.in = bufio.NewReader(c)
		c.SetDeadline(time.Now().Add(5 * time.Second))
		open, err := c.ask("GET", "/socket.io/?EIO=4&transport=polling", "")
		if err != nil {
			t.Fatal(err)
		}
		_, sid, _ := strings.Cut(open, `"sid":"`)
		sid, _, _ = strings.Cut(sid, `"`)
		c.ask("POST", "/socket.io/?EIO=4&transport=polling&sid="+sid, "40\x1e"+strings.Join(packets, "\x1e"))
		c.Close()
	}
	witness.send(`{"type":"join","id":1,"room":"r"}`)
	witness.expect(`{"type":"ack","id":1,"ok":true}`)
	if strings.Contains(n.log.String(), "panic") {
		t.Errorf("something panicked:\n%s", n.log)
	}
	if took, err := n.connects(); err != nil {
		t.Errorf("a client connects in %v, %v", took, err)
	}
}

// Fragments of one byte, or of none, a length that is never sent and pings hold no
// memory while their connections are open, and other clients do not notice. What is
// held is what a collection leaves; the peak has all garbage that the collector was
// late for, and only has to be far from what they sent.
func TestFragmentsHoldNoMemory(t *testing.T) {
	const held, garbage = 4 << 20, 32 << 20 // a byte a fragment would be 10 MB; asking takes 1 or 2
	n := alone(t, 0)
	n.flood("nobody", 10<<20)
	peak := n.peak()
	floods := map[string]struct {
		first, again []byte
		times        int
	}{
		"tiny fragments":  {[]byte{0x01, 0x81, 0, 0, 0, 0, 'x'}, []byte{0x00, 0x81, 0, 0, 0, 0, 'x'}, 20_000},
		"empty fragments": {[]byte{0x01, 0x81, 0, 0, 0, 0, 'x'}, []byte{0x00, 0x80, 0, 0, 0, 0}, 1_000_000},
		"pings":           {nil, []byte{0x89, 0x80, 0, 0, 0, 0}, 100_000},
		"a huge length":   {[]byte{0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, []byte{'x'}, 2},
	}
	round := func(longer int) {
		for _, path := range websockets {
			for name, flood := range floods {
				s := dialRaw(t, n, path, "")
				go io.Copy(io.Discard, s.in)
				s.SetWriteDeadline(time.Now().Add(20 * time.Second))
				if _, err := s.Write(append(flood.first, bytes.Repeat(flood.again, flood.times*longer)...)); err != nil {
					t.Logf("%s on %s: %v", name, path, err) // may be cut
				}
			}
		}
	}
	round(1)
	before := n.usage().heap
	round(5)
	if took, err := n.connects(); err != nil || took > time.Second {
		t.Errorf("a client connects in %v, %v; want less than a second", took, err)
	}
	eventually(t, 20*time.Second, "floods that are five times as long hold no more", func() bool {
		return n.usage().heap < before+held // some are still on their way
	})
	if grown := n.peak() - peak; grown > garbage {
		t.Errorf("the peak grew by %d KiB, want less than %d KiB", grown>>10, garbage>>10)
	}
}
