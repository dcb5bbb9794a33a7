package engineio

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/meshrt/meshrt/web/ws"
	"github.com/meshrt/meshrt/wire/eio"
)

// Clients of Engine.IO 3, with Config.AllowEIO3. A session keeps to the version of
// its handshake. What differs:
//
//   - The client pings and gets a pong; without a ping for PingInterval +
//     PingTimeout it is dead. A ping is no sign of life while the pong to the one
//     before waits, as such a client does not read.
//   - Binary messages have a type byte, or are base64 for a client that asked for it
//     in the handshake (b64=1). Groups are written for version 4 and shared; one
//     with binary messages is written again for each session of version 3.
//   - Payloads have lengths, and may be bytes: application/octet-stream.

// legacyVersion is the EIO of a query. The official server takes any but 4 for 3;
// clients send it always, so we refuse the rest, whether 3 is allowed or not.
const legacyVersion = "3"

// legacyPause is between the answer to the handshake of a websocket of version 3 and
// the open packet. Programs that await Node's event "open" and only then listen lose what came in
// the same read as the answer; the official suite of version 3 is one.
const legacyPause = 10 * time.Millisecond

var pongGroup = NewGroup(eio.Packet{Type: eio.Pong})

// versionOf is the version that a first request asks for, 0 if it is not served.
func (s *Server) versionOf(query url.Values) int {
	switch query.Get("EIO") {
	case protocolVersion:
		return 4
	case legacyVersion:
		if s.cfg.AllowEIO3 {
			return 3
		}
	}
	return 0
}

// setVersion makes the session one of the version that its client asked for.
func (s *Socket) setVersion() {
	if !s.server.cfg.AllowEIO3 {
		return // it is 4: its query is not made again
	}
	query := s.request.URL().Query()
	if s.server.versionOf(query) == 3 {
		s.legacy, s.base64 = true, query.Get("b64") != ""
		s.heartbeat.interval += s.heartbeat.timeout
		s.heartbeat.byClient = true
	}
}

// Version is the version of Engine.IO that the client speaks, 3 or 4.
func (s *Socket) Version() int {
	if s.legacy {
		return 3
	}
	return 4
}

// handshakePacket is the open packet in the session's version.
func (s *Socket) handshakePacket(h eio.Handshake) eio.Packet {
	if s.legacy {
		return h.PacketV3()
	}
	return h.Packet()
}

// decode reads one packet of the client.
func (s *Socket) decode(data []byte, binary bool) (eio.Packet, error) {
	if s.legacy {
		return eio.DecodePacketV3(data, binary)
	}
	return eio.DecodePacket(data, binary)
}

// inVersion is g in the session's version.
func (s *Socket) inVersion(g *Group) *Group {
	if !s.legacy {
		return g
	}
	for _, f := range g.Frames() {
		if f.Opcode == ws.Binary {
			return s.rewrite(g)
		}
	}
	return g
}

func (s *Socket) rewrite(g *Group) *Group {
	frames := make([]ws.Frame, 0, len(g.Frames()))
	for _, f := range g.Frames() {
		switch {
		case f.Opcode != ws.Binary:
		case s.base64:
			f = ws.Frame{Opcode: ws.Text, Data: eio.AppendBase64V3(nil, f.Data)}
		default:
			f.Data = eio.AppendBinaryV3(make([]byte, 0, 1+len(f.Data)), f.Data)
		}
		frames = append(frames, f)
	}
	return g.With(frames...)
}

// ping answers a ping of the client.
func (s *Socket) ping() Reason {
	if !s.legacy { // since Engine.IO 4 the server pings, and the client alone answers
		return ReasonTransportError
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	switch {
	case s.reason == 0 && s.heartbeat.dead(now): // the timer is late
		s.endLocked(ReasonPingTimeout)
		return ReasonPingTimeout
	case s.reason != 0 || s.pingWaits:
		return 0
	}
	s.heartbeat.alive(now)
	s.timer.Reset(s.heartbeat.interval)
	s.out.Push(pongGroup)
	s.pingWaits = true
	s.transport.flush()
	return 0
}

// payload is the answer to a poll, and its media type.
func (s *Socket) payload(groups []*Group) (body []byte, mediaType string) {
	const text, bytes = "text/plain; charset=UTF-8", "application/octet-stream"
	if !s.legacy {
		return appendPayload(nil, groups), text
	}
	var frames []eio.FrameV3
	for _, g := range groups {
		for _, f := range g.Frames() {
			frames = append(frames, eio.FrameV3{Binary: f.Opcode == ws.Binary, Data: f.Data})
		}
	}
	body, binary := eio.AppendPayloadV3(nil, frames)
	if binary {
		return body, bytes
	}
	return body, text
}

// isBytes says that the body of a POST is not text.
func isBytes(r *http.Request) bool {
	mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(mediaType), "application/octet-stream")
}
