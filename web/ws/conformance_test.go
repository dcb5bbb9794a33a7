//go:build linux

package ws_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/meshrt/meshrt/web/ws"
)

// The cases of the Autobahn test suite by their numbers, and some that it lacks:
// what a client sends, a close frame last, and what it gets from a server that sends
// each message back.
var conformance = map[string]struct {
	sent [][]byte
	want string
}{
	"1.1.1 empty text":                   {f(0x81, ""), "text close 1000"},
	"1.1.2 125 bytes":                    {f(0x81, strings.Repeat("*", 125)), "text*125 close 1000"},
	"1.1.3 126 bytes":                    {f(0x81, strings.Repeat("*", 126)), "text*126 close 1000"},
	"1.1.8 in chops":                     {f(0x81, strings.Repeat("*", 1000)), "text*1000 close 1000"},
	"1.2.1 empty binary":                 {f(0x82, ""), "binary close 1000"},
	"1.2.4 127 bytes":                    {f(0x82, strings.Repeat("*", 127)), "binary*127 close 1000"},
	"2.1 empty ping":                     {f(0x89, ""), "pong close 1000"},
	"2.3 ping with bytes":                {f(0x89, "\x00\xff\xfe\xfd"), "pong*4 close 1000"},
	"2.4 ping of 125":                    {f(0x89, strings.Repeat("*", 125)), "pong*125 close 1000"},
	"2.5 ping of 126":                    {f(0x89, strings.Repeat("*", 126)), "close 1002"},
	"2.7 pong unasked":                   {f(0x8a, "x", 0x89, "y"), "pong y close 1000"},
	"2.10 ten pings":                     {slices.Repeat(f(0x89, "p"), 10), strings.Repeat("pong p ", 10) + "close 1000"},
	"3.1 RSV3":                           {f(0x91, "x"), "close 1002"},
	"3.2 RSV2 behind a message":          {f(0x81, "a", 0xa1, "b", 0x89, "c"), "text a close 1002"},
	"3.5 RSV1 in binary, no compression": {f(0xc2, "x"), "close 1002"},
	"3.6 RSV in a ping":                  {f(0xd9, "x"), "close 1002"},
	"3.7 RSV in a close frame":           {f(0xf8, ""), "close 1002"},
	"4.1.1 opcode 3":                     {f(0x83, ""), "close 1002"},
	"4.1.5 opcode 7":                     {f(0x87, "x"), "close 1002"},
	"4.2.1 opcode 11":                    {f(0x8b, ""), "close 1002"},
	"4.2.5 opcode 15":                    {f(0x8f, "x"), "close 1002"},
	"5.1 ping in fragments":              {f(0x09, "a", 0x80, "b"), "close 1002"},
	"5.2 pong in fragments":              {f(0x0a, "a", 0x80, "b"), "close 1002"},
	"5.3 text in fragments":              {f(0x01, "a", 0x80, "b"), "text ab close 1000"},
	"5.6 ping between":                   {f(0x01, "a", 0x89, "p", 0x80, "b"), "pong p text ab close 1000"},
	"5.9 continuation alone":             {f(0x80, "a", 0x81, "b"), "close 1002"},
	"5.11 ... not final":                 {f(0x00, "a", 0x81, "b"), "close 1002"},
	"5.15 continuation behind the end":   {f(0x01, "a", 0x80, "b", 0x00, "c", 0x80, "d"), "text ab close 1002"},
	"5.18 text within text":              {f(0x01, "a", 0x81, "b"), "close 1002"},
	"5.19 pings between":                 {f(0x01, "a", 0x00, "b", 0x89, "1", 0x00, "c", 0x89, "2", 0x80, "d"), "pong 1 pong 2 text abcd close 1000"},
	"5.20 binary within text":            {f(0x01, "a", 0x02, "b"), "close 1002"},
	"6.1.2 empty fragments":              {f(0x01, "", 0x00, "", 0x80, ""), "text close 1000"},
	"6.2.3 a fragment for each byte":     {f(0x01, "\xce", 0x00, "\xba", 0x00, "\xe2", 0x00, "\x82", 0x80, "\xac"), "text κ€ close 1000"},
	"6.3.1 not UTF-8":                    {f(0x81, "\xce\xba\xed\xa0\x80x"), "close 1007"},
	"6.4.1 not UTF-8, over fragments":    {f(0x01, "\xf4", 0x00, "\x90", 0x80, "\x80\x80"), "close 1007"},
	"6.6.1 cut short":                    {f(0x81, "\xce"), "close 1007"},
	"6.12.8 over-long":                   {f(0x81, "\xf8\x88\x80\x80\x80"), "close 1007"},
	"6.22.1 no character is no error":    {f(0x81, "\xef\xbf\xbe"), "text \uFFFE close 1000"},
	"7.1.1 message, close":               {f(0x81, "a", 0x88, "\x03\xe8"), "text a close 1000"},
	"7.1.3 ping behind close":            {f(0x88, "\x03\xe8", 0x89, "x"), "close 1000"},
	"7.1.5 close within a message":       {f(0x01, "a", 0x88, "\x03\xe8", 0x80, "b"), "close 1000"},
	"7.3.1 close without status":         {f(0x88, ""), "close"},
	"7.3.2 close of one byte":            {f(0x88, "\x03"), "close 1002"},
	"7.3.4 close with a reason":          {f(0x88, "\x03\xe8bye"), "close 1000 bye"},
	"7.3.5 the longest reason":           {f(0x88, "\x03\xe8"+strings.Repeat("*", 123)), "close 1000 *123"},
	"7.3.6 one byte longer":              {f(0x88, "\x03\xe8"+strings.Repeat("*", 124)), "close 1002"},
	"7.5.1 a reason that is not UTF-8":   {f(0x88, "\x03\xe8\xce\xba\xed\xa0\x80"), "close 1002"},
	"7.7.5 status 1007":                  {f(0x88, "\x03\xef"), "close 1007"},
	"7.7.13 status 4999":                 {f(0x88, "\x13\x87"), "close 4999"},
	"7.9.1 status 0":                     {f(0x88, "\x00\x00"), "close 1002"},
	"7.9.4 status 1005":                  {f(0x88, "\x03\xed"), "close 1002"},
	"7.13.1 status 5000":                 {f(0x88, "\x13\x88"), "close 1002"},
	"9 one byte too many":                {f(0x82, strings.Repeat("*", 1001)), "close 1009"},
	"9 ... over fragments":               {f(0x02, strings.Repeat("*", 900), 0x89, "p", 0x80, strings.Repeat("*", 101)), "pong p close 1009"},
	"no mask":                            {[][]byte{{0x81, 1, 'x'}}, "close 1002"},
	"a length that could be shorter":     {[][]byte{{0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 'x'}}, "text x close 1000"},
	"top bit of a length":                {[][]byte{{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 'x'}}, "close 1002"},
	"long form for a ping":               {[][]byte{{0x89, 0xfe, 0, 1, 0, 0, 0, 0, 'x'}}, "close 1002"},
}

// With compression, where 3.5 is none of the faults any more.
var conformancePacked = map[string]struct {
	sent [][]byte
	want string
}{
	"12 text":                      {f(0xc1, deflated("hello")), "text hello close 1000"},
	"12 over fragments":            {f(0x41, deflated("hello")[:2], 0x89, "p", 0x00, deflated("hello")[2:4], 0x80, deflated("hello")[4:]), "pong p text hello close 1000"},
	"12 two, each by itself":       {f(0xc1, deflated("hello"), 0xc1, deflated("hello")), "text hello text hello close 1000"},
	"12 beside one that is not":    {f(0xc2, deflated("hello"), 0x82, "hello"), "binary hello binary hello close 1000"},
	"12 nothing":                   {f(0xc1, "\x00"), "text close 1000"},
	"12 an empty block before":     {f(0xc1, "\x00\x00\x00\xff\xff"+deflated("hello")), "text hello close 1000"},
	"12 stored":                    {f(0xc1, "\x00\x05\x00\xfa\xffhello\x00"), "text hello close 1000"},
	"12 not UTF-8":                 {f(0xc1, deflated("\xff")), "close 1007"},
	"12 at the limit":              {f(0xc2, deflated(strings.Repeat("*", 1000)), 0x82, ""), "binary*1000 binary close 1000"},
	"12 one byte too many":         {f(0xc2, deflated(strings.Repeat("*", 1001))), "close 1009"},
	"12 RSV1 in a continuation":    {f(0x41, "\x00", 0xc0, "\x00"), "close 1002"},
	"12 RSV1 in a continuation, 2": {f(0x01, "a", 0xc0, "b"), "close 1002"},
	"12 RSV1 in a ping":            {f(0xc9, ""), "close 1002"},
	"12 RSV2":                      {f(0xe1, ""), "close 1002"},
	"12 no deflate":                {f(0xc1, "\xff\xff\xff"), "close 1002"},
	"12 back before its beginning": {f(0xc1, "\x02\x01\x00"), "close 1002"},
}

// f makes frames of pairs: the first byte, and the payload.
func f(pairs ...any) (frames [][]byte) {
	for i := 0; i < len(pairs); i += 2 {
		data := pairs[i+1].(string)
		frames = append(frames, masked(byte(pairs[i].(int)), len(data), data))
	}
	return frames
}

func deflated(text string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestSpeed)
	io.WriteString(w, text)
	w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

func TestServerKeepsToTheRFC(t *testing.T) {
	echo := func(s *session) {
		s.received = func(s *session, data string, binary bool) {
			op := ws.Text
			if binary {
				op = ws.Binary
			}
			s.sendNow(ws.NewGroup(ws.Frame{Opcode: op, Data: []byte(data)}).Uncompressed())
		}
	}
	for _, pieces := range []int{1, 5, 1 << 20} {
		overTCP(t, limits, echo, func(t *testing.T, h *host) {
			for name, tt := range conformance {
				converse(t, h, "", fmt.Sprintf("%s, in pieces of %d", name, pieces), tt.sent, pieces, tt.want)
			}
		})
		overTCP(t, packing(), echo, func(t *testing.T, h *host) {
			for name, tt := range conformancePacked {
				converse(t, h, "permessage-deflate; client_max_window_bits", fmt.Sprintf("%s, in pieces of %d", name, pieces), tt.sent, pieces, tt.want)
			}
		})
	}
}

func converse(t *testing.T, h *host, extensions, name string, sent [][]byte, pieces int, want string) {
	t.Helper()
	c, in, s := h.rawOpenWith("Sec-WebSocket-Extensions", extensions)
	defer c.Close()
	c.(*net.TCPConn).SetNoDelay(true)
	all := append(slices.Concat(sent...), masked(0x88, 2, "\x03\xe8")...) // behind a close frame it is not read
	go func() {
		for piece := range slices.Chunk(all, pieces) {
			if _, err := c.Write(piece); err != nil {
				return // closed
			}
		}
	}()
	if got := heard(in); got != want {
		t.Errorf("%s: got %q, want %q", name, got, want)
	}
	c.Close()
	waitFor(t, name+": the session ends", s.gone)
}

// heard is what comes until the end of the stream.
func heard(in *bufio.Reader) string {
	var words []string
	for {
		head := make([]byte, 2)
		if _, err := io.ReadFull(in, head); err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
				words = append(words, err.Error())
			}
			return strings.Join(words, " ")
		}
		size := int(head[1])
		if size == 126 {
			var long [2]byte
			io.ReadFull(in, long[:])
			size = int(binary.BigEndian.Uint16(long[:]))
		}
		data := make([]byte, size)
		io.ReadFull(in, data)
		words = append(words, word(head[0], string(data))...)
	}
}

func word(first byte, data string) []string {
	kind := map[byte]string{0x81: "text", 0x82: "binary", 0x8a: "pong", 0x88: "close"}[first]
	if kind == "close" && len(data) >= 2 {
		kind = fmt.Sprint("close ", binary.BigEndian.Uint16([]byte(data)))
		data = data[2:]
		if len(data) == 123 {
			return []string{kind, "*123"}
		}
	}
	switch {
	case data == "":
		return []string{kind}
	case strings.Trim(data, "*") == "", strings.ContainsRune(data, 0):
		return []string{fmt.Sprintf("%s*%d", kind, len(data))}
	}
	return []string{kind, data}
}
