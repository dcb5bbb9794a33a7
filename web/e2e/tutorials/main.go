// Command tutorials is the classic Socket.IO tutorials as servers in Go, one a
// file, all in one program on a mux of its own:
//
//	chat.go       a chat room: names, who is there, who types
//	games.go      a central server that players and game servers meet on
//	broadcast.go  a /broadcast route for backends that speak HTTP
//	private.go    private messages between users, with receipts
//
// Each works on any number of nodes, as it is:
//
//	go run ./web/e2e/tutorials
//	go run ./web/e2e/tutorials -node two -http :8081 -bind 127.0.0.1:7947 -join 127.0.0.1:7946
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/meshrt/meshrt/cluster"
	"github.com/meshrt/meshrt/cluster/port"
	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web"
	"github.com/meshrt/meshrt/wire"
)

func main() {
	name := flag.String("node", "one", "`name` of this node")
	addr := flag.String("http", "127.0.0.1:8080", "`address` for clients")
	bind := flag.String("bind", "127.0.0.1:7946", "`address` for other nodes")
	join := flag.String("join", "", "`addresses` of other nodes, comma-separated")
	key := flag.String("key", "secret", "what game servers show")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *name, *addr, *bind, *key, strings.FieldsFunc(*join, func(r rune) bool { return r == ',' })); err != nil {
		fmt.Fprintln(os.Stderr, "tutorials:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, name, addr, bind, key string, join []string) error {
	id := wire.NewNodeID()
	p, err := port.Listen(port.Config{Cluster: "tutorials", Node: name + "@" + id.String(), Bind: bind})
	if err != nil {
		return err
	}
	n, err := node.New(node.Config{Cluster: cluster.Config{ID: id, Name: name, Cluster: "tutorials", Seeds: join, Net: p}})
	if err != nil {
		return err
	}
	handler, w, err := serve(n, key)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: addr, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	fmt.Println("http://" + addr)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.RunWithNode(ctx) }() // clients end first, then the node
	select {
	case err = <-failed:
		cancel()
	case <-ctx.Done():
	}
	err = errors.Join(err, <-ended)
	return errors.Join(err, server.Close())
}

// serve mounts the tutorials in a mux, beside whatever else a program serves.
func serve(n *node.Node, key string) (http.Handler, *web.Server, error) {
	chat(n.Namespace("/chat"))
	games(n.Namespace("/servers"), n.Namespace("/players"), key)
	private(n.Namespace("/private"))
	w, err := web.New(web.Config{}, n) // without HTTP it binds nothing
	if err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /broadcast", broadcast(n.Namespace("/")))
	mux.HandleFunc("GET /about", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "a page of the program's own") })
	mux.Handle("/", w.Handler()) // /socket.io/, /ws, /sse, /healthz, /readyz
	return mux, w, nil
}
