package engineio

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"net/http"
	"unicode/utf8"

	"github.com/meshrt/meshrt/wire/eio"
)

// post is one POST.
type post struct {
	rc      *http.ResponseController
	reading bool // guarded by Socket.mu: its body is not complete
}

func (p *polling) servePost(w http.ResponseWriter, r *http.Request) {
	in := &post{rc: http.NewResponseController(w), reading: true}
	err := p.admitPost(in)
	if err == nil {
		err = p.handle(in, w, r)
	}
	if err != nil {
		p.socket.server.refuse(w, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html") // as the official server: some browsers offer text/plain for download
	h.Set("Cache-Control", "no-store")
	io.WriteString(w, "ok") // a client that is gone needs no answer
}

// admitPost makes in the POST of the session. Two at once end it: the order of
// their packets is not known.
func (p *polling) admitPost(in *post) error {
	s := p.socket
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.transport != transport(p):
		return codeBadRequest
	case s.reason != 0:
		return codeUnknownSID
	case p.posting != nil:
		s.endLocked(ReasonTransportError)
		return codeBadRequest
	}
	p.posting = in
	return nil
}

// handle reads the POST and acts on its packets. The error is the answer.
func (p *polling) handle(in *post, w http.ResponseWriter, r *http.Request) error {
	defer p.posted()
	s := p.socket
	body, reason := s.readBody(w, r)
	open := p.bodyRead(in)
	if (reason != 0 || !open) && r.ProtoMajor == 1 {
		// A read that was broken off has ended the context of the connection, and
		// with it the wait of every poll that might come on it.
		w.Header().Set("Connection", "close")
	}
	switch {
	case reason != 0:
	case !open:
		return codeUnknownSID
	default:
		<-p.opened
		if !s.server.guard(s, func() { reason = p.deliver(s.packets(r, body), len(body)) }) {
			reason = ReasonPanic
		}
	}
	if reason != 0 {
		s.end(reason)
		return answerTo(reason)
	}
	return nil
}

// bodyRead says that there is no more to read of in, and reports whether the
// session is open.
func (p *polling) bodyRead(in *post) (open bool) {
	s := p.socket
	s.mu.Lock()
	defer s.mu.Unlock()
	in.reading = false
	return s.reason == 0
}

// posted says that the POST is through.
func (p *polling) posted() {
	p.socket.mu.Lock()
	defer p.socket.mu.Unlock()
	p.posting = nil
	p.changed.Broadcast()
}

// readBody reads a whole body, so that a client that breaks off in the middle of a
// packet has sent nothing. It takes as long as the heartbeat lets it. The reason
// is why the session must end.
func (s *Socket) readBody(w http.ResponseWriter, r *http.Request) ([]byte, Reason) {
	if isBytes(r) && !s.legacy {
		return nil, ReasonTransportError
	}
	// Also when the Content-Length tells that it is too long: a client that is not
	// read is reset, and does not see the answer.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(s.server.cfg.MaxPayload)))
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		return nil, ReasonTooBig
	case err != nil:
		return nil, ReasonTransportError
	}
	return body, 0
}

// packets are those of a body.
func (s *Socket) packets(r *http.Request, body []byte) iter.Seq2[eio.Packet, error] {
	if s.legacy {
		return eio.DecodePayloadV3(body, isBytes(r))
	}
	return eio.DecodePayload(body)
}

// deliver acts on the packets of a body of size bytes, up to the one that ends the
// session. The reason is what was wrong with that.
func (p *polling) deliver(packets iter.Seq2[eio.Packet, error], size int) Reason {
	s := p.socket
	for packet, err := range packets {
		switch {
		case err != nil:
			return ReasonParseError
		case !packet.Binary && !utf8.Valid(packet.Data):
			return ReasonInvalidText
		}
		s.server.countIn(packet)
		if !packet.Binary && len(packet.Data) < size/2 {
			packet.Data = bytes.Clone(packet.Data) // its receiver may keep it: not all of the body with it
		}
		if reason := s.receive(packet); reason != 0 {
			return reason
		}
		if s.ended() {
			return 0
		}
	}
	return 0
}

// answerTo is the answer to a request that ends its session, or opens none.
func answerTo(reason Reason) error {
	switch reason {
	case ReasonShutdown:
		return errShutdown
	case ReasonTooBig:
		return errTooBig
	case ReasonPanic:
		return errPanic
	}
	return codeBadRequest
}
