package port

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
)

// reason is why something was turned away. Each is counted apart.
type reason int

const (
	notTLS reason = iota + 1
	handshake
	noProtocol
	timeout
	gone
	busy
	busyAddr
	evicted
	notPrivate
	acceptQueueFull
	packetNotPrivate
	packetQueueFull
	packetReadError
	reasons // their number plus one
)

// maxLogError is how many characters of an error are logged: crypto/tls quotes
// what the stranger sent.
const maxLogError = 200

// names are the keys of Stats.Rejected.
var names = [reasons]string{
	notTLS: "not_tls", handshake: "handshake", noProtocol: "no_protocol", timeout: "timeout", gone: "gone",
	busy: "busy", busyAddr: "busy_addr", evicted: "evicted", notPrivate: "not_private", acceptQueueFull: "accept_queue_full",
	packetNotPrivate: "packet_not_private", packetQueueFull: "packet_queue_full", packetReadError: "packet_read_error",
}

// texts tell the operator. A reason without a text is counted only: health
// checks and port scans that send nothing, and datagrams, which may be lost.
var texts = [reasons]string{
	notTLS:           "not TLS: another protocol on the cluster port",
	handshake:        "wrong cluster secret or not a meshrt node",
	noProtocol:       "a node of this cluster that speaks no known protocol",
	timeout:          "no TLS handshake in time",
	busy:             "too many connections in handshake",
	busyAddr:         "too many connections in handshake from this address",
	evicted:          "handshake too slow while others wait",
	notPrivate:       "public address, and there is no cluster secret",
	acceptQueueFull:  "this node is too slow to take new connections",
	packetNotPrivate: "datagram from a public address, and there is no cluster secret",
}

// Stats counts since Listen. Every reason is in Rejected from the start.
type Stats struct {
	Handshakes      uint64            // incoming connections that were authenticated
	Dialled         uint64            // outgoing connections that were authenticated
	Handshaking     int               // incoming connections not handed over yet, now
	PacketsReceived uint64            // datagrams that passed the filter and the queue
	PacketsSent     uint64            // datagrams sent: the gossip key should rotate before 2^32 in the whole cluster
	Rejected        map[string]uint64 // by reason
}

type counters struct {
	handshakes, dialled, received, sent atomic.Uint64
	rejected                            [reasons]atomic.Uint64
}

// Stats takes a snapshot. It may be called at any time.
func (p *Port) Stats() Stats {
	s := Stats{
		Handshakes:      p.count.handshakes.Load(),
		Dialled:         p.count.dialled.Load(),
		Handshaking:     p.gate.len(),
		PacketsReceived: p.count.received.Load(),
		PacketsSent:     p.count.sent.Load(),
		Rejected:        make(map[string]uint64, reasons),
	}
	for r := notTLS; r < reasons; r++ {
		s.Rejected[names[r]] = p.count.rejected[r].Load()
	}
	return s
}

// reject tells of a refusal and counts it. What Run cuts off at its end is none.
func (p *Port) reject(from netip.Addr, why reason, err error) {
	if p.ended() {
		return
	}
	if texts[why] != "" {
		p.tell(from, texts[why], err)
	}
	p.count.rejected[why].Add(1)
}

// tell warns the operator, at most once a minute for each remote address.
func (p *Port) tell(from netip.Addr, why string, err error) {
	suppressed, ok := p.refusals.allow(site(from))
	if !ok {
		return
	}
	attrs := []slog.Attr{slog.String("addr", from.String()), slog.String("reason", why), slog.Int("suppressed", suppressed)}
	if err != nil {
		attrs = append(attrs, slog.String("err", fmt.Sprintf("%.*s", maxLogError, err)))
	}
	p.log.LogAttrs(context.Background(), slog.LevelWarn, "refused connection on the cluster port", attrs...)
}

// judge finds the reason behind a failed handshake.
func judge(err error) reason {
	var ne net.Error
	switch {
	case errors.Is(err, errNotTLS):
		return notTLS
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return timeout
	case errors.Is(err, errGone), errors.Is(err, syscall.ECONNRESET):
		return gone // who refuses our certificate says so before it closes
	case errors.Is(err, errNoProtocol):
		return noProtocol
	}
	return handshake
}
