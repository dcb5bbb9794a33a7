package relay_test

import (
	"context"
	"fmt"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/node/relay"
)

// A chat server without code: clients join rooms and publish by themselves.
func ExampleAttach() {
	n, err := node.New(node.Config{})
	if err != nil {
		panic(err)
	}
	relay.Attach(n.Namespace("/"))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go n.Run(ctx)
	fmt.Println("clients can join, leave, publish, broadcast and direct")
	// Output: clients can join, leave, publish, broadcast and direct
}
