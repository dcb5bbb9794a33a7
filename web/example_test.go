package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/coder/websocket"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web"
)

// A program with an http.Server and a mux of its own serves clients beside its
// other pages. web.Config without HTTP binds nothing.
func ExampleServer_Handler() {
	n, err := node.New(node.Config{})
	if err != nil {
		panic(err)
	}
	ns := n.Namespace("/")
	node.Handle(ns, "greet", func(s *node.Session, name string) (string, error) {
		if name == "" {
			return "", node.Errorf(node.CodeInvalid, "who are you?")
		}
		return "hello " + name, nil
	})
	w, err := web.New(web.Config{}, n)
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /about", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a page of the program's own") })
	mux.HandleFunc("POST /broadcast", func(_ http.ResponseWriter, r *http.Request) { ns.Emit("news", r.FormValue("text")) })
	mux.Handle("/", w.Handler()) // /socket.io/, /ws, /sse, /healthz, /readyz
	server := httptest.NewServer(mux)
	defer server.Close()

	// The clients end first, then the node.
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- w.RunWithNode(ctx) }()

	client, _, err := websocket.Dial(ctx, server.URL+"/ws", nil)
	if err != nil {
		panic(err)
	}
	read := func() string {
		_, frame, err := client.Read(ctx)
		if err != nil {
			return err.Error()
		}
		return string(frame)
	}
	read() // the welcome
	client.Write(ctx, websocket.MessageText, []byte(`{"type":"emit","id":1,"event":"greet","data":"ann"}`))
	fmt.Println(read())
	client.Write(ctx, websocket.MessageText, []byte(`{"type":"emit","id":2,"event":"greet","data":5}`))
	fmt.Println(read())
	http.Post(server.URL+"/broadcast", "application/x-www-form-urlencoded", strings.NewReader("text=It+works"))
	fmt.Println(read())

	client.CloseNow()
	stop()
	fmt.Println(<-ended)
	// Output:
	// {"type":"ack","id":1,"ok":true,"data":"hello ann"}
	// {"type":"ack","id":2,"ok":false,"error":"argument 1 of event \"greet\": json: cannot unmarshal number into Go value of type string","code":"invalid"}
	// {"type":"event","event":"news","data":"It works"}
	// <nil>
}
