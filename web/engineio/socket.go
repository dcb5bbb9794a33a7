package engineio

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/meshrt/meshrt/web/ws"
	"github.com/meshrt/meshrt/wire/eio"
)

// pingGroup is the ping of every heartbeat.
var pingGroup = NewGroup(eio.Packet{Type: eio.Ping})

// Socket is one session. All methods may be called from any goroutine, with locks
// held and from within a Receiver: they never block and never call back.
type Socket struct {
	// A delivery needs what comes before transport, in one line of the processor's cache.
	mu        sync.Mutex // whoever holds it does not block and calls nothing up
	reason    Reason     // of the end; zero while the session is open
	legacy    bool       // speaks Engine.IO 3; set by start
	base64    bool       // of those: takes no bytes; set by start
	pingWaits bool       // a ping of ours is in out, in version 3 a pong
	slow      ws.Slow    // with ReasonSlow; zero is SlowWrite
	direct    *ws.Conn   // the transport's websocket, once it was flushed
	out       ws.Outbox
	transport transport
	probe     candidate // where the client may move to; nil mostly
	heartbeat heartbeat
	timer     *time.Timer // runs fired at heartbeat.due; nil before start

	id       string
	openedAt time.Time
	request  ws.Memo
	server   *Server
	receiver Receiver      // set by who receives, under mu; nil until Opened has returned
	pace     ws.Pace       // of who receives
	over     chan struct{} // closed with the reason; nil without Config.Rate
}

func newSocket(s *Server, sid string, r ws.Memo, t transport) *Socket {
	socket := &Socket{
		id:        sid,
		openedAt:  time.Now(),
		request:   r,
		server:    s,
		transport: t,
		pace:      ws.NewPace(s.cfg.Rate),
		out:       ws.Outbox{MaxBytes: s.cfg.QueueBytes, MaxGroups: s.cfg.QueueGroups},
		heartbeat: heartbeat{interval: s.cfg.PingInterval, timeout: s.cfg.PingTimeout},
	}
	if socket.pace.Limited() {
		socket.over = make(chan struct{})
	}
	return socket
}

// ID is the session id. It lets its holder act for the client: not for logs, nor
// for other clients.
func (s *Socket) ID() string { return s.id }

// Request is the request that opened the session, made anew: not for each message.
func (s *Socket) Request() *Request { return requestOf(s.request) }

// RemoteAddr is that of the request that opened the session.
func (s *Socket) RemoteAddr() string { return s.request.RemoteAddr }

// OpenedAt is the time of the handshake.
func (s *Socket) OpenedAt() time.Time { return s.openedAt }

// Transport is the name of the transport that the session uses now.
func (s *Socket) Transport() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.transport.name()
}

// Send queues g at its Place, all of it or nothing, and reports whether it did: not
// when the session has ended, nor when the queue is full, which ends it with
// ReasonSlow. What is queued goes out after the next Flush, or before. True does not
// mean that the client will get it.
func (s *Socket) Send(g *Group) bool {
	g = s.inVersion(g)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason != 0 {
		return false
	}
	if !s.out.Add(g) {
		s.slow = s.out.Why(g)
		s.endLocked(ReasonSlow)
		return false
	}
	return true
}

// Answered is closed when no group of NewAnswer waits for the client any more, or the session has ended; nil: none
// does now.
func (s *Socket) Answered() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Answered()
}

// SendNow is Send and Flush, for who has nothing more for this client. Mostly nothing
// waits for it and nobody writes: g goes to the socket without having been queued.
func (s *Socket) SendNow(g *Group) bool {
	s.mu.Lock()
	if s.direct == nil || s.reason != 0 || s.legacy || !s.out.Idle() || !s.direct.Claim(g) {
		s.mu.Unlock()
		sent := s.Send(g)
		s.Flush()
		return sent
	}
	s.mu.Unlock()
	if s.direct.Write(g) {
		return true
	}
	s.mu.Lock()
	s.out.WritesNow(g)
	s.mu.Unlock()
	s.direct.WriteLater()
	return true
}

// SendVolatile is Send for what may be lost: while the transport is not writable, or
// when the queue is full, g is dropped and counted, and the session goes on. False
// means that the session has ended.
func (s *Socket) SendVolatile(g *Group) bool {
	g = s.inVersion(g)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason != 0 {
		return false
	}
	if !s.transport.writable() || !s.out.Add(g) {
		s.server.counters.volatile.Add(1)
	}
	return true
}

// Waiting is how many bytes were queued and have not left.
func (s *Socket) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Bytes()
}

// Flush has what was queued go out, and does not wait for it: a websocket is given
// it at once as far as it takes it, else a writer is woken. Send alone does neither,
// so that many Sends share one Flush.
func (s *Socket) Flush() {
	// The system call comes without Socket.mu: with it, others who send to this
	// client, and the reader of its pongs, would wait for the kernel.
	if conn := s.flush(); conn != nil {
		conn.FlushNow()
	}
}

// flush wakes the transport, or gives the websocket that is to be flushed.
func (s *Socket) flush() *ws.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.direct == nil {
		if s.direct = s.transport.websocket(); s.direct == nil {
			s.transport.flush()
		}
	}
	return s.direct
}

// Close ends the session; the first to end it gives the reason. Receiver.Closed
// comes later, from a goroutine of the session. With ReasonForcedClose,
// ReasonForcedServerClose and the other reasons that close a transport in order,
// what was queued before is still written, within three seconds; on polling, to
// the poll that waits or, with the two and ReasonShutdown, to the next. With those
// that cut it (ReasonTransportError, ReasonPingTimeout, ReasonSlow) it is dropped.
// Any value that is no Reason means ReasonForcedClose.
func (s *Socket) Close(reason Reason) {
	if !reason.valid() {
		reason = ReasonForcedClose
	}
	s.end(reason)
}

// start queues the open packet, the first of the session, and starts the
// heartbeat. Run may have ended the session already.
func (s *Socket) start() {
	cfg := &s.server.cfg
	s.setVersion()
	hello := NewGroup(s.handshakePacket(eio.Handshake{
		SID:          s.id,
		Upgrades:     s.server.upgrades[s.Transport()],
		PingInterval: int(cfg.PingInterval.Milliseconds()),
		PingTimeout:  int(cfg.PingTimeout.Milliseconds()),
		MaxPayload:   cfg.MaxPayload,
	})).At(ws.Fence)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason != 0 {
		return
	}
	s.out.Push(hello)
	s.heartbeat.alive(s.openedAt)
	s.timer = time.AfterFunc(time.Until(s.heartbeat.due), s.fired)
}

// open tells the layer above, which may take its time.
func (s *Socket) open() {
	s.hold()
	defer s.release()
	receiver := s.server.handler.Opened(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.receiver = receiver
}

// polling is the transport of a session that is on polling.
func (s *Socket) polling() (p *polling, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok = s.transport.(*polling)
	return p, ok
}

// take is what the transport writes next, and whether the session is open. When it
// is not and nothing is left, all has been said.
func (s *Socket) take() (groups []*Group, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.takeLocked(), s.reason == 0
}

func (s *Socket) takeLocked() []*Group { return s.taken(s.out.Take()) }

func (s *Socket) takeAllLocked() []*Group { return s.taken(s.out.TakeAll()) }

// taken takes note of a ping that goes out. Groups are of this version already.
func (s *Socket) taken(groups []*Group) []*Group {
	if s.pingWaits && (slices.Contains(groups, pingGroup) || slices.Contains(groups, pongGroup)) {
		s.pingWaits = false
	}
	return groups
}

// receive acts on one packet of the client. Calls must not overlap. The reason is
// why the packet must end the session; zero when it need not.
func (s *Socket) receive(p eio.Packet) Reason {
	switch p.Type {
	case eio.Message:
		if s.hold() && s.await() {
			s.receiver.Received(p.Data, p.Binary)
		}
		s.release()
	case eio.Pong:
		if s.legacy {
			return ReasonTransportError
		}
		s.pong()
	case eio.Close:
		s.end(ReasonTransportClose)
	case eio.Ping:
		return s.ping()
	case eio.Open, eio.Upgrade, eio.Noop: // mean nothing here; ignored as the official server does
	}
	return 0
}

// tryReceive is receive for what waits for nobody: a pong, and a message that the
// Receiver takes at once.
func (s *Socket) tryReceive(text []byte) (done bool) {
	p, err := eio.DecodePacket(text, false)
	switch {
	case err != nil || p.Binary || s.legacy:
		return false
	case p.Type == eio.Pong:
		s.pong()
		return true
	case p.Type == eio.Message:
		t, ok := s.receiver.(Trier)
		return ok && s.tryMessage(t, p.Data)
	}
	return false
}

func (s *Socket) tryMessage(t Trier, text []byte) (done bool) {
	var now time.Time
	if s.pace.Limited() {
		now = time.Now()
		if pace := s.pace; pace.Next(now) > 0 {
			return false
		}
	}
	defer s.release() // also behind a panic
	if done = s.hold() && t.TryReceived(text); done {
		s.pace.Next(now)
	}
	return done
}

// await holds a message back until Config.Rate allows it, and reports whether the
// session is open then.
func (s *Socket) await() (open bool) {
	if !s.pace.Limited() {
		return true
	}
	wait := s.pace.Next(time.Now())
	if wait == 0 {
		return true
	}
	s.server.counters.delayed.Add(1)
	s.server.notices.Say("rate", "client sends faster than -rate", slog.String("addr", s.request.RemoteAddr))
	select {
	case <-time.After(wait):
		return !s.ended()
	case <-s.over:
		return false
	}
}

// hold says that we keep the client from being read, until release: it has no say
// meanwhile, and its pong may wait behind what it has sent before. It reports
// whether the session is open.
func (s *Socket) hold() (open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heartbeat.hold(time.Now())
	return s.reason == 0
}

func (s *Socket) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heartbeat.release(time.Now())
}

// pong starts the next interval of the heartbeat. On polling, only the answer to a
// ping that was fetched does: else POSTs alone would keep a session whose client
// never polls.
func (s *Socket) pong() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, polls := s.transport.(*polling)
	if s.reason != 0 || polls && (s.pingWaits || !s.heartbeat.awaited) {
		return
	}
	s.heartbeat.alive(time.Now())
	s.timer.Reset(s.heartbeat.interval)
}

// fired runs when the heartbeat's timer does.
func (s *Socket) fired() {
	if s.beat() {
		s.Flush()
	}
}

// beat does what the heartbeat asks for, and reports whether there is a ping to flush.
func (s *Socket) beat() (ping bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason != 0 {
		return false
	}
	switch s.heartbeat.fired(time.Now()) {
	case beatPing:
		s.out.Push(pingGroup)
		s.pingWaits, ping = true, true
		s.timer.Reset(time.Until(s.heartbeat.due))
	case beatDead:
		s.endLocked(ReasonPingTimeout)
	case beatHeld:
		s.timer.Reset(time.Until(s.heartbeat.due))
	case beatEarly: // pong has reset the timer
	}
	return ping
}

// ended says that the session is over or ends.
func (s *Socket) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason != 0
}

// end is the only way in which a session ends. Only the first call counts.
func (s *Socket) end(reason Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(reason)
}

func (s *Socket) endLocked(reason Reason) {
	if s.reason != 0 {
		return
	}
	s.reason = reason
	if s.over != nil {
		close(s.over)
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	if e, ok := s.receiver.(Ender); ok && !s.heartbeat.held.IsZero() {
		e.Ending()
	}
	if !reason.graceful() {
		s.out.Drop()
	}
	if s.probe != nil {
		s.probe.drop(reasons[reason].status, reason.String())
	}
	s.transport.end(reason)
}

// finish is the last act of a session, called by its transport after end, when
// nothing of the session runs any more.
func (s *Socket) finish() {
	s.server.forget(s)
	s.server.cfg.Left(s.request.RemoteAddr)
	s.mu.Lock()
	reason, slow := s.reason, s.slow
	s.out.Drop()
	s.mu.Unlock()
	s.server.counters.closed[reason].Add(1)
	s.server.tell(s, reason, slow)
	s.server.cfg.Logger.Debug("engineio: session ended",
		"addr", s.request.RemoteAddr, "transport", s.Transport(), "reason", reason.String())
	if s.receiver != nil {
		s.server.guard(s, func() { s.receiver.Closed(reason) })
	}
}
