package bench

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/meshrt/meshrt/bench/swarm"
)

// nats is the client protocol of core NATS, over bare TCP: lines, and payloads behind
// those of MSG. Rooms are subjects. The text of a message is in quotes, as with the
// others.
type nats struct{ size int } // of a text

func (nats) path() (path, query string) { return "", "" }

func (d nats) publish(room string) (before, after []byte) {
	return []byte("PUB " + room + " " + strconv.Itoa(d.size+2) + "\r\n\""), []byte("\"\r\n")
}

// join subscribes. The server answers PING when it has done what was before.
func (nats) join(room string) []byte { return []byte("SUB " + room + " " + room + "\r\nPING\r\n") }

func (d nats) hear(at stage, data []byte, _ bool, room string) (stage, []byte, error) {
	verb, _, _ := bytes.Cut(bytes.TrimSpace(data), []byte(" "))
	switch v := string(bytes.ToUpper(verb)); {
	case v == "INFO" && at == opening:
		hello := []byte(`CONNECT {"verbose":false,"pedantic":false,"lang":"go","version":"0"}` + "\r\n")
		if room == "" {
			return joining, append(hello, "PING\r\n"...), nil
		}
		return joining, append(hello, d.join(room)...), nil
	case v == "PONG" && at == joining:
		return ready, nil, nil
	case v == "PING":
		return at, []byte("PONG\r\n"), nil
	case v == "-ERR":
		return at, nil, fmt.Errorf("the server refuses a command: %.200s", data)
	}
	return at, nil, nil
}

// maxLine limits a line of NATS, in bytes. INFO is the longest.
const maxLine = 64 << 10

// splitNATS is swarm.Target.Split: a line, with what follows that of a MSG.
func splitNATS(b []byte) (n int, err error) {
	end := bytes.IndexByte(b[:min(len(b), maxLine)], '\n') + 1
	if end == 0 {
		if len(b) >= maxLine {
			return 0, fmt.Errorf("line over %d bytes: %w", maxLine, swarm.ErrProtocol)
		}
		return 0, nil
	}
	if !bytes.HasPrefix(b, []byte("MSG ")) {
		return end, nil
	}
	line := bytes.TrimRight(b[:end], "\r\n")
	size, err := strconv.ParseUint(string(line[bytes.LastIndexByte(line, ' ')+1:]), 10, 32)
	if err != nil || size > swarm.MaxMessage-maxLine-2 {
		return 0, fmt.Errorf("%.80q: no size up to %d: %w", line, swarm.MaxMessage, swarm.ErrProtocol)
	}
	if n = end + int(size) + len("\r\n"); len(b) < n {
		return 0, nil
	}
	return n, nil
}
