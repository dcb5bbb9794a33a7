package node_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/node/relay"
	"github.com/meshrt/meshrt/web/socketio"
	"github.com/meshrt/meshrt/wire"
)

// receiver is a node with Socket.IO clients of TCP in one room, to which a link brings
// messages of another node: all but the reading of the link is as it is in a program.
type receiver struct {
	node   *node.Node
	frames []wire.Frame
	size   int64 // of the websocket frames of all of them
	left   atomic.Int64
	done   chan struct{} // nothing is left
	late   <-chan time.Time
	client net.Conn // the last one's
	list   []*wire.Message
}

const (
	otherNode = 7
	cursorLen = 22 // of a node that is alone
)

var race bool // the race detector is on

func newReceiver(t testing.TB, clients, messages int, cfg node.Config) *receiver {
	n, err := node.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	relay.Attach(n.Namespace("/"))
	s := socketio.NewServer(socketio.Config{}, n)
	web := httptest.NewServer(s)
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan struct{}, 2)
	go func() { n.Run(ctx); ran <- struct{}{} }()
	go func() { s.Run(ctx); ran <- struct{}{} }()
	t.Cleanup(func() { stop(); <-ran; <-ran; web.Close() })
	r := &receiver{node: n, done: make(chan struct{}, 1), late: time.After(time.Minute)}
	for range clients {
		r.connect(t, web.URL)
	}
	payload := `["m","` + strings.Repeat("x", 128) + `"]`
	var link []byte
	for i := range messages {
		m := &wire.Message{Envelope: &wire.Envelope{Origin: otherNode, Namespace: "/", Rooms: []string{"r"}}, Seq: uint64(i + 1), Payload: []byte(payload)}
		link = wire.AppendData(link, m, false)
		r.size += int64(4 + len("42") + len(payload)) // with the head of the frame
		if cfg.Recovery > 0 {
			r.size += int64(len(`,""`) + cursorLen)
		}
	}
	for frames := wire.NewReader(bytes.NewReader(link)); len(r.frames) < messages; {
		f, err := frames.Next()
		if err != nil {
			t.Fatal(err)
		}
		r.frames = append(r.frames, f)
	}
	return r
}

// connect joins the room as a client does, and then counts what comes.
func (r *receiver) connect(t testing.TB, url string) {
	var raw net.Conn
	web := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		raw, err = new(net.Dialer).DialContext(ctx, network, addr)
		return raw, err
	}}}
	ctx := t.Context()
	ws, _, err := websocket.Dial(ctx, url+"/socket.io/?EIO=4&transport=websocket", &websocket.DialOptions{HTTPClient: web})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ say, want string }{{"40", "0{"}, {`420["join","r"]`, "40{"}, {"", "430["}} {
		if _, got, err := ws.Read(ctx); err != nil || !strings.HasPrefix(string(got), step.want) {
			t.Fatalf("client got %q and %v, want %s...", got, err, step.want)
		}
		if step.say != "" {
			if err := ws.Write(ctx, websocket.MessageText, []byte(step.say)); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.client = raw
	t.Cleanup(func() { ws.CloseNow() })
	go func() { // ends with the connection
		io.Copy(counting{r}, raw)
	}()
}

type counting struct{ *receiver }

func (c counting) Write(b []byte) (int, error) {
	if c.left.Add(-int64(len(b))) == 0 {
		c.done <- struct{}{}
	}
	return len(b), nil
}

// receive has all messages come in together, and waits until the clients have them.
func (r *receiver) receive(t testing.TB, clients int) {
	r.left.Store(int64(clients) * r.size)
	var err error
	if r.list, err = wire.AppendMessages(r.list[:0], r.frames, otherNode); err != nil {
		t.Fatal(err)
	}
	r.node.HandleMessages(r.list)
	r.wait(t, int64(clients)*r.size)
}

func (r *receiver) wait(t testing.TB, bytes int64) {
	select {
	case <-r.done:
	case <-r.late:
		t.Fatalf("%d bytes of %d have not come", r.left.Load(), bytes)
	}
}

// The whole way of a message on the node that receives it, from the frame of a link to
// the bytes on its clients' sockets: nothing is allocated for a client, and for a message
// only the group and its text.
func TestReceivingAllocatesTwiceAMessageAndNothingAClient(t *testing.T) {
	if race {
		t.Skip("the race detector has pools forget")
	}
	perMessage, perDelivery := allocsOfReceiving(t, node.Config{})
	if perMessage > 2.5 { // what comes together costs some, too
		t.Errorf("%.2f allocations a message, want 2", perMessage)
	}
	if perDelivery > 0.02 { // pools are emptied now and then
		t.Errorf("%.3f allocations a delivery, want none", perDelivery)
	}
}

// With recovery the text of a message is made with its cursor, and no client costs more.
func TestReceivingWithRecoveryAllocatesNothingAClient(t *testing.T) {
	if race {
		t.Skip("the race detector has pools forget")
	}
	perMessage, perDelivery := allocsOfReceiving(t, node.Config{Recovery: time.Minute})
	if perMessage > 5.5 {
		t.Errorf("%.2f allocations a message, want 5", perMessage)
	}
	if perDelivery > 0.02 {
		t.Errorf("%.3f allocations a delivery, want none", perDelivery)
	}
}

func allocsOfReceiving(t *testing.T, cfg node.Config) (perMessage, perDelivery float64) {
	const messages, few, many = 16, 1, 41
	allocs := map[int]float64{}
	for _, clients := range []int{few, many} {
		r := newReceiver(t, clients, messages, cfg)
		r.receive(t, clients) // pools fill
		allocs[clients] = testing.AllocsPerRun(30, func() { r.receive(t, clients) })
	}
	return allocs[few] / messages, (allocs[many] - allocs[few]) / (messages * (many - few))
}

// BenchmarkReceiving is that way, for a message that comes alone and for many.
func BenchmarkReceiving(b *testing.B) {
	for _, clients := range []int{1, 100} {
		for _, messages := range []int{1, 16, 128} {
			for name, cfg := range withAndWithout() {
				b.Run(fmt.Sprintf("clients=%d/together=%d/%s", clients, messages, name), func(b *testing.B) {
					r := newReceiver(b, clients, messages, cfg)
					b.ReportAllocs()
					for b.Loop() {
						r.receive(b, clients)
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*messages*clients), "ns/delivery")
				})
			}
		}
	}
}

// withAndWithout recovery.
func withAndWithout() iter.Seq2[string, node.Config] {
	return func(yield func(string, node.Config) bool) {
		_ = yield("recovery=off", node.Config{}) && yield("recovery=on", node.Config{Recovery: time.Minute})
	}
}

// BenchmarkSending is the way of a client's publish, from its socket to the cluster, for
// as many as come in one read, of which the last asks for an answer: no other node and
// no member wants them.
func BenchmarkSending(b *testing.B) {
	for name, cfg := range withAndWithout() {
		b.Run(name, func(b *testing.B) { send(b, cfg) })
	}
}

func send(b *testing.B, cfg node.Config) {
	r := newReceiver(b, 1, 1, cfg)
	const together = 100
	var frames []byte
	for i := range together {
		text := `42["publish","nobody","m","` + strings.Repeat("x", 128) + `"]`
		if i == together-1 {
			text = "421" + text[2:]
		}
		frames = append(frames, 0x81, 0x80|126, byte(len(text)>>8), byte(len(text)), 0, 0, 0, 0) // masked with zeros
		frames = append(frames, text...)
	}
	r.size = int64(2 + len(`431[{"ok":true}]`))
	b.ReportAllocs()
	for b.Loop() {
		r.left.Store(r.size)
		if _, err := r.client.Write(frames); err != nil {
			b.Fatal(err)
		}
		r.wait(b, r.size)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*together), "ns/message")
}
