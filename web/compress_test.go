package web

import (
	"context"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/web/socketio"
)

// What its publisher says is not worth compressing goes out as it is, whatever the
// client speaks and whichever node it is on.
func TestPublisherMayLeaveCompressionOut(t *testing.T) {
	cfg := Config{Compression: true, SocketIO: socketio.Config{Engine: engineio.Config{AllowEIO3: true}}}
	onBoxes(t, 2, cfg, func(t *testing.T, b []*box) {
		var conns []*websocket.Conn
		read := func(c *websocket.Conn) string {
			_, data, err := c.Read(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			return string(data)
		}
		for _, path := range []string{"/socket.io/?EIO=4&transport=websocket", "/socket.io/?EIO=3&transport=websocket", "/ws"} {
			c, res, err := websocket.Dial(context.Background(), "ws://meshrt.test"+path, &websocket.DialOptions{
				HTTPClient: b[0].clients.Client, CompressionMode: websocket.CompressionContextTakeover})
			if err != nil || res.Header.Get("Sec-WebSocket-Extensions") == "" {
				t.Fatalf("no compression: %v", err)
			}
			c.SetReadLimit(-1)
			conns = append(conns, c)
			read(c)
			if strings.Contains(path, "EIO=4") {
				c.Write(context.Background(), websocket.MessageText, []byte("40"))
			}
			if path != "/ws" {
				read(c)
			}
		}
		text := strings.Repeat("x", 5000)
		for _, tt := range []struct {
			worth bool
			data  any
			want  uint64 // compressed so far: for clients of Socket.IO, and plain ones
		}{{false, text, 0}, {true, text, 2}, {false, []byte(text), 2}} {
			if err := b[1].node.In("/").Compress(tt.worth).Emit("e", tt.data); err != nil {
				t.Fatal(err)
			}
			for i, c := range conns {
				got := read(c)
				if _, isBytes := tt.data.([]byte); isBytes && i < 2 {
					got = read(c)
				}
				if i < 2 && !strings.Contains(got, text) {
					t.Errorf("client %d got %.60q", i, got)
				}
			}
			if got := b[0].deflater.Stats().Messages; got != tt.want {
				t.Errorf("Compress(%v): %d messages were compressed, want %d", tt.worth, got, tt.want)
			}
		}
		for _, c := range conns {
			c.CloseNow()
		}
	})
}
