package mesh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// The dialler says HELLO first; the one that accepts answers with HELLO when it
// takes the link and with BYE when it does not. So two nodes that dial each
// other at once agree before either counts a link as up.

// greeted is a connection past its HELLO, with the reader that read it: bytes
// behind the HELLO may be in its buffer.
type greeted struct {
	conn net.Conn
	in   *counted
	r    *wire.Reader
	peer Peer
	// What it says beside.
	version, features uint64
}

// counted counts the bytes that are read: a frame may take long to arrive on
// a thin line, and its peer is not silent meanwhile.
type counted struct {
	net.Conn
	bytes atomic.Uint64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.bytes.Add(uint64(n))
	return n, err
}

// maxHello limits the first frame, which comes before it is known who speaks.
const maxHello = 64 << 10

// hello is what this node says of itself.
func (m *Mesh) hello() []byte {
	return wire.AppendHello(nil, wire.Hello{MinVersion: wire.MinVersion, MaxVersion: wire.MaxVersion,
		Node: m.cfg.ID, Name: m.cfg.Name, Addr: m.cfg.Addr, Features: m.cfg.Features})
}

// greet is the dialler's half. A node other than want that answers is no link:
// the address has a new owner.
func (m *Mesh) greet(ctx context.Context, conn net.Conn, want wire.NodeID) (*greeted, error) {
	g, err := within(ctx, conn, func() (*greeted, error) {
		if _, err := conn.Write(m.hello()); err != nil {
			return nil, fmt.Errorf("send hello: %w", err)
		}
		return readHello(conn)
	})
	if err == nil && g.peer.ID != want {
		err = fmt.Errorf("%s@%v: %w", g.peer.Name, g.peer.ID, ErrOtherNode)
	}
	return g, err
}

// within runs a part of the handshake, which fails when ctx ends before it does.
func within(ctx context.Context, conn net.Conn, do func() (*greeted, error)) (*greeted, error) {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	g, err := do()
	if !stop() && err == nil {
		err = ctx.Err()
	}
	return g, err
}

// serveAccepted is the other half, and the life of the link that comes of it.
func (m *Mesh) serveAccepted(ctx context.Context, conn net.Conn) {
	hctx, cancel := context.WithTimeout(ctx, m.cfg.HandshakeTimeout)
	g, err := within(hctx, conn, func() (*greeted, error) { return readHello(conn) })
	cancel()
	if err != nil {
		m.cfg.Logger.Debug("link refused", "addr", conn.RemoteAddr().String(), "err", err)
		refuse(conn, err)
		return
	}
	l := newLink(m, conn, g, g.peer.ID)
	l.lanes.put(LaneControl, m.hello()) // sent first, once the link is registered
	l.poke()
	if linked, err := m.serve(ctx, l); !linked {
		m.cfg.Logger.Debug("link refused", "peer", g.peer.Name, "err", err)
	}
}

// refuse tells the dialler why it gets no link.
func refuse(conn net.Conn, err error) {
	conn.SetWriteDeadline(time.Now().Add(time.Second))
	conn.Write(wire.AppendBye(nil, err.Error()))
	conn.Close()
}

// readHello reads the other side's HELLO and holds it against the identity
// that the connection proves, if it proves one.
func readHello(conn net.Conn) (*greeted, error) {
	in := &counted{Conn: conn}
	r := wire.NewReader(in)
	r.Limit(maxHello)
	f, err := r.Next()
	if err != nil {
		return nil, fmt.Errorf("read hello: %w", err)
	}
	if f.Kind() == wire.KindBye {
		return nil, byeError(f)
	}
	if f.Kind() != wire.KindHello {
		return nil, fmt.Errorf("%v: %w", f.Kind(), errUnexpected)
	}
	h, err := wire.DecodeHello(f)
	if err != nil {
		return nil, err
	}
	if h.MinVersion > wire.MaxVersion || h.MaxVersion < wire.MinVersion {
		return nil, fmt.Errorf("%q speaks %d to %d, this node %d to %d: %w", h.Name,
			h.MinVersion, h.MaxVersion, wire.MinVersion, wire.MaxVersion, ErrNoVersion)
	}
	if id, ok := conn.(interface{ PeerName() string }); ok {
		if proven := id.PeerName(); proven != h.Name+"@"+h.Node.String() {
			return nil, fmt.Errorf("hello of %s@%v on a connection of %q", h.Name, h.Node, proven)
		}
	}
	r.Limit(wire.MaxFrame)
	return &greeted{conn, in, r, Peer{ID: h.Node, Name: strings.Clone(h.Name), Addr: strings.Clone(h.Addr)}, min(h.MaxVersion, wire.MaxVersion), h.Features}, nil
}

// byeError is the reason of a BYE as the error that the other side meant.
func byeError(f wire.Frame) error {
	reason, err := wire.DecodeBye(f)
	if err != nil {
		return err
	}
	for _, known := range []error{ErrDuplicate, ErrReplaced, ErrLeaving, ErrFull, ErrSilent, ErrNoVersion} {
		if strings.HasSuffix(reason, known.Error()) {
			return fmt.Errorf("peer says: %w", known)
		}
	}
	return errors.New("peer says: " + strings.ToValidUTF8(reason[:min(len(reason), 200)], "?"))
}
