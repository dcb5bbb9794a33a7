package swarm

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/textproto"
	"strings"
)

// maxResponse limits the head of the answer to a handshake, in bytes.
const maxResponse = 16 << 10

// The same key opens all connections, RFC 6455 section 4.1: it keeps caches from
// answering, of which there are none here.
const key = "bWVzaHJ0IGJlbmNoIGtleQ=="

var accept = acceptOf(key)

// acceptOf is the answer to a key, section 4.2.2.
func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// request is the head of a handshake.
func request(host, path string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\n\r\n")
}

// parseResponse reads the answer to a handshake that b begins with. n is what it
// takes of b, 0 when more must be read first.
func parseResponse(b []byte) (n int, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > maxResponse {
			return 0, fmt.Errorf("answer to the handshake over %d bytes: %w", maxResponse, ErrProtocol)
		}
		return 0, nil
	}
	n = end + 4
	lines := strings.Split(string(b[:end]), "\r\n")
	version, status, _ := strings.Cut(lines[0], " ")
	if !strings.HasPrefix(version, "HTTP/1.") {
		return 0, fmt.Errorf("answer to the handshake is not HTTP: %.40q: %w", lines[0], ErrProtocol)
	}
	if !strings.HasPrefix(status, "101") {
		return 0, fmt.Errorf("the server refuses the websocket: %.60s %.120q", status, b[n:])
	}
	return n, checkHeaders(lines[1:])
}

func checkHeaders(lines []string) error {
	accepted := false
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		value = textproto.TrimString(value)
		switch strings.ToLower(name) {
		case "sec-websocket-accept":
			accepted = value == accept
		case "sec-websocket-extensions", "sec-websocket-protocol":
			return fmt.Errorf("header %s, for which nobody asked: %w", name, ErrProtocol)
		}
	}
	if !accepted {
		return fmt.Errorf("no header Sec-WebSocket-Accept of the key: %w", ErrProtocol)
	}
	return nil
}
