package forward

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshrt/meshrt/web/ws"
)

// A client that does not read can neither keep a tunnel that is cut nor one that its
// node has closed.
func TestTunnelEndsThoughItsClientDoesNotRead(t *testing.T) {
	for name, end := range map[string]func(x *member, own net.Conn){
		"cut by this node":    func(x *member, _ net.Conn) { x.stopRun(); <-x.ran },
		"closed by the owner": func(_ *member, own net.Conn) { own.Close(); time.Sleep(defaultWriteTimeout) },
	} {
		inLab(t, 2, Config{}, func(t *testing.T, l *lab) {
			x, y := l.all[0], l.all[1]
			owns := make(chan net.Conn, 1)
			y.own = func(w http.ResponseWriter, r *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
				owns <- conn
				conn.Write(make([]byte, 100_000))
			}
			r, _ := http.NewRequest("GET", "http://meshrt.test"+y.path(), nil)
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "websocket")
			res, err := x.front.Client.Do(r)
			if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
				t.Fatal(res, err)
			}
			own := <-owns
			end(x, own)
			synctest.Wait()
			if got := x.Stats(); got.Passing != 0 || got.Out["ok"] != 1 {
				t.Errorf("%s: %+v", name, got)
			}
			own.Close()
			res.Body.Close()
		})
	}
}

// half is a network whose connections can say that no more comes, as those of TLS.
type half struct{ Network }

func (n half) DialHTTP(ctx context.Context, addr string) (net.Conn, error) {
	c, err := n.Network.DialHTTP(ctx, addr)
	return halfConn{c, peerName(c)}, err
}

type halfConn struct {
	net.Conn
	name string
}

func (c halfConn) PeerName() string  { return c.name }
func (c halfConn) CloseWrite() error { return nil }

// The way to the owner is broken, and gossip has the owner alive.
func TestTunnelEndsWithItsClientThoughTheOwnerIsSilent(t *testing.T) {
	inLab(t, 2, Config{}, func(t *testing.T, l *lab) {
		x, y := l.all[0], l.all[1]
		x.cfg.Net = half{x.host}
		y.own = func(w http.ResponseWriter, r *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			io.Copy(io.Discard, conn)
			conn.Close()
		}
		r, _ := http.NewRequest("GET", "http://meshrt.test"+y.path(), nil)
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		res, err := x.front.Client.Do(r)
		if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
			t.Fatal(res, err)
		}
		l.net.CutAll()
		res.Body.Close()
		time.Sleep(ws.CloseTimeout)
		synctest.Wait()
		if got := x.Stats(); got.Passing != 0 || got.Out["ok"] != 1 {
			t.Errorf("%+v", got)
		}
		l.net.HealAll()
	})
}
