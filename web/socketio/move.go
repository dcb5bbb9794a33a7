package socketio

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/wire"
	"github.com/meshrt/meshrt/wire/sio"
)

// A client that polls through any node opens its websocket at another one than
// polled before: the new node, which has the websocket, takes the client over. It
// leads, and the old node answers: begin, probed and freeze, commit or abort.

const moveMethod = "socketio.move"

// moveStep is what the new node asks for.
type moveStep uint8

const (
	moveBegin  moveStep = iota + 1 // may the session move?
	moveProbed                     // the client's polls are to return
	moveFreeze                     // what is the session?
	moveCommit                     // it is ready here
	moveAbort                      // it does not come
)

// What nodes ask and answer; arrays on the wire, so fields are only appended.
type (
	moveRequest struct {
		Step    moveStep
		SID     string
		Origins []wire.NodeID // of moveCommit
	}
	moveReply struct {
		// Of moveFreeze.
		Parser      parser
		Sessions    []node.Moving
		Text        []byte // of a packet whose attachments have not all come
		Attachments [][]byte

		// Of moveCommit.
		Body []byte // what waits for the client
		Owed []int  // answers that the old node waits for, of each session

		Stays bool // it does not move, for a reason of its own

		// Of moveFreeze: the first request, and what became of the client.
		Query, Header  map[string][]string
		Remote         string
		Joined, Kicked bool
	}
)

// The times that a move may take: a word between nodes, the client's last words, and
// all of it. After one that failed, which cost its client the connection, there is none
// for movePause: websockets are passed on until the cluster is well again. A client
// that ends its own move, or delays it, stops nobody else's.
const (
	wordTimeout   = time.Second
	freezeTimeout = 3 * time.Second
	moveTimeout   = 4 * time.Second
	movePause     = 30 * time.Second
)

// maxMoveBody is the most that may wait for a client that moves, in bytes.
const maxMoveBody = wire.MaxBody - 64<<10

// errStays is of a session that has ended, is not ready to move, or cannot.
var errStays = errors.New("the session stays")

// answerMove does as the new node asks.
func (s *Server) answerMove(ctx context.Context, from wire.NodeID, body []byte) ([]byte, error) {
	var q moveRequest
	if err := wire.Unmarshal(body, &q); err != nil {
		return nil, err
	}
	reply, err := s.step(ctx, from, q)
	if errors.Is(err, errStays) || errors.Is(err, node.ErrClosed) {
		return wire.Marshal(moveReply{Stays: true})
	}
	if err != nil {
		return nil, err
	}
	return reply, nil
}

// step is one step of a move. An error ends the move.
func (s *Server) step(ctx context.Context, from wire.NodeID, q moveRequest) (body []byte, err error) {
	if q.Step == moveBegin {
		if !s.node.SessionsMove() || !s.linkedToAll() || !s.engine.Leave(q.SID, from) {
			return nil, errStays
		}
		return nil, nil
	}
	l, ok := s.engine.LeavingTo(q.SID, from)
	if !ok {
		return nil, errStays
	}
	defer func() {
		if err != nil {
			l.Abort()
		}
	}()
	var reply moveReply
	switch q.Step {
	case moveProbed:
		l.Probed()
	case moveAbort:
		l.Abort()
	case moveFreeze:
		reply, err = freeze(ctx, s.node, l)
	case moveCommit:
		reply, err = commit(ctx, l, from, q.Origins)
	default:
		err = fmt.Errorf("unknown step %d", q.Step)
	}
	if err != nil {
		return nil, err
	}
	if body, err = wire.Marshal(reply); err == nil && len(body) > wire.MaxBody {
		err = errStays
	}
	return body, err
}

// linkedToAll tells whether there is a link to every member: a move needs them all.
func (s *Server) linkedToAll() bool {
	for _, n := range s.node.Cluster().Nodes() {
		if n.State == "cut" {
			return false
		}
	}
	return true
}

func freeze(ctx context.Context, n *node.Node, l *engineio.Leaving) (reply moveReply, err error) {
	ctx, cancel := context.WithTimeout(ctx, freezeTimeout)
	defer cancel()
	receiver, ok := l.Freeze(ctx)
	c, is := receiver.(*conn)
	if !ok || !is {
		return reply, errStays
	}
	d, err := n.Depart(ctx, c.sessions())
	if err != nil { // it has ended, or its handlers do not
		return reply, errStays
	}
	reply = moveReply{Parser: c.parser, Sessions: d.State(), Remote: c.remote()}
	reply.Query, reply.Header = c.recall()
	reply.Text, reply.Attachments = c.decoder.Held()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.departure = d; c.sockets == nil { // closed meanwhile
		d.Cancel()
		return reply, errStays
	}
	reply.Joined, reply.Kicked = c.everJoin, c.kicked
	return reply, nil
}

func commit(ctx context.Context, l *engineio.Leaving, to wire.NodeID, origins []wire.NodeID) (reply moveReply, err error) {
	ctx, cancel := context.WithTimeout(ctx, moveTimeout)
	defer cancel()
	c, is := l.Receiver().(*conn)
	if !is {
		return reply, errStays
	}
	c.mu.Lock()
	d := c.departure
	c.mu.Unlock()
	if d == nil {
		return reply, errStays
	}
	if err := d.Commit(ctx, to, origins); err != nil {
		d.Cancel()
		return reply, err
	}
	reply.Owed = d.Owed()
	var ok bool
	if reply.Body, ok = l.Take(); !ok || len(reply.Body) > maxMoveBody {
		d.Lost(engineio.ReasonTransportClose.Official())
		return reply, errStays
	}
	return reply, nil
}

// sessions are those of the client.
func (c *conn) sessions() (all []*node.Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sockets {
		all = append(all, s.session)
	}
	return all
}

// fetch is an engineio.Config.Fetch. A node that lacks a link to some member, or whose
// counterpart does, passes websockets on as long as that is so.
func (s *Server) fetch(r *http.Request, sid string) (engineio.Incoming, bool) {
	owner := s.cfg.Owner(sid)
	if owner == 0 || owner == s.node.ID() || !s.node.SessionsMove() || int64(time.Since(s.started)) < s.noMoves.Load() || !s.linkedToAll() {
		return nil, false
	}
	in := &incoming{server: s, owner: owner, sid: sid}
	ctx, cancel := context.WithTimeout(r.Context(), wordTimeout)
	defer cancel()
	if _, err := in.ask(ctx, moveRequest{Step: moveBegin}); err != nil {
		if ctx.Err() != nil { // it may have begun all the same
			in.say(moveAbort)
		}
		s.log.Debug("session does not move here", "addr", r.RemoteAddr, "err", err)
		return nil, false
	}
	return in, true
}

// incoming is a client of another node that may come here.
type incoming struct {
	server *Server
	owner  wire.NodeID
	sid    string
}

func (in *incoming) ask(ctx context.Context, q moveRequest) (reply moveReply, err error) {
	q.SID = in.sid
	body, err := wire.Marshal(q)
	if err != nil {
		return reply, err
	}
	answer, err := in.server.node.Request(ctx, in.owner, moveMethod, body)
	if err == nil && len(answer) > 0 {
		err = wire.Unmarshal(answer, &reply)
	}
	if err == nil && reply.Stays {
		err = errStays
	}
	return reply, err
}

// say is ask for what needs no answer. It is said while Run ends too.
func (in *incoming) say(step moveStep) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(in.server.ctx), wordTimeout)
	defer cancel()
	if _, err := in.ask(ctx, moveRequest{Step: step}); err != nil {
		in.server.log.Debug("node not told of a move", "step", step, "err", err)
	}
}

// Probed implements engineio.Incoming.
func (in *incoming) Probed() { in.say(moveProbed) }

// GiveUp implements engineio.Incoming.
func (in *incoming) GiveUp() { in.say(moveAbort) }

// Move implements engineio.Incoming.
func (in *incoming) Move(e *engineio.Socket) (moved engineio.Moved, err error) {
	s := in.server
	ctx, cancel := context.WithTimeout(s.ctx, moveTimeout)
	defer cancel()
	c := s.newConn(e)
	if moved, err = in.bring(ctx, c); err == nil {
		return moved, nil
	}
	c.mu.Lock()
	c.stopTimeoutLocked()
	c.mu.Unlock()
	if !errors.Is(err, errStays) {
		s.noMoves.Store(int64(time.Since(s.started) + movePause))
	}
	in.say(moveAbort)
	return moved, err
}

// bring makes c the client that it is at the old node.
func (in *incoming) bring(ctx context.Context, c *conn) (moved engineio.Moved, err error) {
	state, err := in.ask(ctx, moveRequest{Step: moveFreeze})
	if err != nil {
		return moved, err
	}
	if err := c.resume(state); err != nil {
		return moved, err
	}
	arrival, err := in.server.node.Arrive(ctx, in.owner, c.arriving(state.Sessions), c.affinity)
	if err != nil {
		return moved, err
	}
	c.arrived(arrival.Sessions())
	last, err := in.ask(ctx, moveRequest{Step: moveCommit, Origins: arrival.Origins()})
	if err != nil {
		arrival.Cancel()
		return moved, err
	}
	return engineio.Moved{Receiver: c, Body: last.Body, Begin: func() error { return arrival.Admit(last.Owed) }}, nil
}

// resume brings the client to where it was.
func (c *conn) resume(m moveReply) error {
	c.parser = m.Parser
	c.first = &node.Handshake{Protocol: protocol, Query: m.Query, Header: m.Header, Remote: m.Remote}
	c.mu.Lock()
	if c.everJoin, c.kicked = m.Joined, m.Kicked; c.everJoin {
		c.stopTimeoutLocked()
	}
	c.mu.Unlock()
	if len(m.Text) == 0 {
		return nil
	}
	_, whole, err := c.decoder.Text(m.Text)
	for _, a := range m.Attachments {
		if err == nil && !whole {
			_, whole, err = c.decoder.Binary(a)
		}
	}
	if err == nil && whole {
		err = sio.ErrMalformed // it was to wait for more
	}
	return err
}

// arriving makes the sockets of sessions that come.
func (c *conn) arriving(sessions []node.Moving) (list []node.Arriving) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range sessions {
		s := c.newSocket(m.Namespace)
		c.sockets[m.Namespace] = s
		list = append(list, node.Arriving{Moving: m, Sink: s})
	}
	return list
}

// arrived makes known what the sockets' sessions are.
func (c *conn) arrived(sessions []*node.Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, session := range sessions {
		c.sockets[session.Namespace().Name()].session = session
	}
}
