package plain

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/ws"
	"github.com/meshrt/meshrt/wire"
)

// maxStreamRooms limits the rooms of one stream.
const maxStreamRooms = 100

// ServeEvents serves one request for an event stream: GET with any number of
// ?room=R, none for what goes to everyone. The response begins when the session is
// a member of its rooms in the whole cluster, and lasts as long as the session.
// Errors before that are JSON, {"error":{"code","message"}}. A client that is to try
// again gets a stream that ends at once. A response that lost something is cut: it
// has no end, in the sense of HTTP.
//
// A middleware before it that wraps the http.ResponseWriter must have an Unwrap
// method, as http.ResponseController wants it: events are flushed and written with
// deadlines.
func (s *Server) ServeEvents(w http.ResponseWriter, r *http.Request) {
	if !s.roster.Enter() {
		s.comeBack(w, refusedShutdown, reasonShutdown.String())
		return
	}
	defer s.roster.Leave()
	rooms, ok := s.verifyEvents(w, r)
	if !ok {
		return
	}
	defer s.cfg.Left(r.RemoteAddr)
	if r.Method == http.MethodHead {
		streamHeader(w)
		return
	}
	s.serveEvents(w, r, rooms)
}

// verifyEvents answers requests that get no stream. Accept has the last word.
func (s *Server) verifyEvents(w http.ResponseWriter, r *http.Request) (rooms []string, ok bool) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		s.refuseEvents(w, refusedRequest, http.StatusMethodNotAllowed, node.CodeInvalid, "this address takes GET requests for an event stream")
		return nil, false
	}
	if !canStream(w) {
		s.refuseEvents(w, refusedNoStream, http.StatusInternalServerError, node.CodeUnavailable,
			"the server cannot stream: something before it hides how to flush a response")
		return nil, false
	}
	rooms, err := roomsOf(r)
	if err != nil {
		s.refuseEvents(w, refusedRequest, statusOf(err), node.CodeOf(err), err.Error())
		return nil, false
	}
	if err := s.cfg.Accept(r); err != nil {
		status, message := ws.RefusalOf(err)
		s.refuseEvents(w, refusedByAccept, status, codeOfStatus(status), message)
		return nil, false
	}
	return rooms, true
}

// canStream says whether events reach the client when they are written, and
// writing them ends. To try it would send the header.
func canStream(w http.ResponseWriter) bool {
	for inner := w; ; {
		switch v := inner.(type) {
		case http.Flusher, interface{ FlushError() error }:
			return http.NewResponseController(w).SetWriteDeadline(noDeadline) == nil
		case interface{ Unwrap() http.ResponseWriter }:
			inner = v.Unwrap()
		default:
			return false
		}
	}
}

// roomsOf are the rooms that r names. What the node can say of the names alone it
// says here, before there is a session.
func roomsOf(r *http.Request) ([]string, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, node.Errorf(node.CodeInvalid, "the query is malformed: %v", err)
	}
	rooms := query["room"]
	if len(rooms) > maxStreamRooms {
		return nil, node.Errorf(node.CodeLimit, "more than %d rooms", maxStreamRooms)
	}
	for _, room := range rooms {
		if err := node.CheckRoom(room); err != nil {
			return nil, err
		}
	}
	return rooms, nil
}

// serveEvents is the whole life of a stream but its finish, which the client does
// not wait for: it would take the stream for open, while handlers run.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request, rooms []string) {
	e := newStream(s, w, r)
	if s.roster.Add(e, e) != nil {
		s.comeBack(w, refusedShutdown, reasonShutdown.String())
		return
	}
	defer s.roster.Remove(e)
	if err := e.open(r.Context(), rooms); err != nil {
		s.log.Debug("session refused", "addr", r.RemoteAddr, "err", err)
		s.turnAway(w, e.why(), err)
		return
	}
	s.counters.streams.enter()
	s.roster.EnterFor(e) // for finish
	defer func() {
		e.letGo()
		go e.finish()
	}()
	e.run(r)
}

// open makes the session, which is a member of rooms when it returns.
func (e *stream) open(ctx context.Context, rooms []string) error {
	gone := ctx.Done()
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	defer context.AfterFunc(e.server.ctx, cancel)()
	n := e.server.node
	session, err := n.Open(ctx, node.SessionConfig{Namespace: "/", Sink: e, Handshake: e.handshake, Affinity: n.NewAffinity(), Resume: e.resume()})
	if err == nil {
		missing := lacking(session.Rooms(), rooms)
		if err = session.Join(ctx, missing...); err == nil {
			e.session = session
			e.resumed = session.Recovered() && len(missing) == 0
			e.tail = []byte("." + session.PID() + "\n\n")
			return nil
		}
	}
	select {
	case <-gone:
		e.end(reasonClose)
	default:
		e.end(reasonServer) // which is what handlers are told
	}
	switch {
	case session == nil:
	case session.Recovered(): // its client knows it, and tries again
		session.Lost(e.why().official())
	default:
		session.Close(e.why().official())
	}
	return err
}

// resume is the session that the client had. Its id of an event is CURSOR.PID, without a
// cursor before the first one.
func (e *stream) resume() node.Resume {
	cursor, pid, _ := strings.Cut(e.lastID(), ".")
	return node.Resume{PID: pid, Cursor: cursor}
}

// lastID is what a client says that had a stream before.
func (e *stream) lastID() string { return e.handshake.Header.Get("Last-Event-ID") }

// lacking are those of want that are not in have.
func lacking(have, want []string) []string {
	return slices.DeleteFunc(slices.Clone(want), func(room string) bool { return slices.Contains(have, room) })
}

// turnAway answers a request that got no session.
func (s *Server) turnAway(w http.ResponseWriter, why reason, err error) {
	var e *node.Error
	switch {
	case why == reasonClose:
		s.comeBack(w, refusedGone, why.String()) // nobody reads it
	case why == reasonShutdown:
		s.comeBack(w, refusedShutdown, why.String())
	case errors.As(err, &e) && e.Code == node.CodeUnavailable:
		s.comeBack(w, refusedUnavailable, err.Error())
	default:
		s.refuseEvents(w, refusedByNode, statusOf(err), node.CodeOf(err), err.Error())
	}
}

// comeBack answers a client that another node, or this one later, may well take.
// Browsers come back after the end of a stream, and never again after an error
// (HTML Standard, section 9.2.3).
func (s *Server) comeBack(w http.ResponseWriter, why refusal, message string) {
	s.counters.streams.refused[why].Add(1)
	streamHeader(w)
	fmt.Fprintf(w, ": %q\nretry: %d\n\n", message, drawRetry()) // quoted, it is one line
}

// refuseEvents answers with an error, after which browsers do not come back.
func (s *Server) refuseEvents(w http.ResponseWriter, why refusal, status int, code node.Code, message string) {
	s.counters.streams.refused[why].Add(1)
	type body struct {
		Code    node.Code `json:"code"`
		Message string    `json:"message"`
	}
	text, _ := wire.MarshalJSON(map[string]body{"error": {code, message}}) // strings always encode
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(text, '\n'))
}

// streamHeader is the header of every stream. The last line keeps nginx from
// collecting what the client is to have now.
func streamHeader(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
}

// statusOf is the status of an error of the node or the application. That of an
// error without a code is a refusal.
func statusOf(err error) int {
	switch node.CodeOf(err) {
	case node.CodeInvalid, node.CodeLimit:
		return http.StatusBadRequest
	}
	return http.StatusForbidden
}

func codeOfStatus(status int) node.Code {
	switch {
	case status == http.StatusTooManyRequests:
		return node.CodeLimit
	case status >= http.StatusInternalServerError:
		return node.CodeUnavailable
	}
	return node.CodeForbidden
}
