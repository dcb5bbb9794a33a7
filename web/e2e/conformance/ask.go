package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
)

// askTimeout is how long a client may take for its answer.
const askTimeout = 500 * time.Millisecond

// ask(event, ...args): the asker is sent event(...args), and ask is acked with
// its answer, or with what went wrong. It waits beside the handler, as the
// answer is read by the goroutine that the handler runs on.
func ask(e *node.Event) {
	var event string
	if err := e.Arg(0, &event); err != nil {
		e.Ack(node.ResultOf(err))
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		defer cancel()
		answer, err := e.Session.EmitWithAck(ctx, event, values(e.Args[1:], e.Attachments)...)
		if err != nil {
			e.Ack(node.ResultOf(err))
			return
		}
		e.AckArgs(answer.Args, answer.Attachments)
	}()
}

// values are arguments as EmitWithAck takes them: an argument that is an
// attachment as its bytes.
func values(args wire.Args, attachments [][]byte) []any {
	list := make([]any, len(args))
	for i, a := range args {
		list[i] = json.RawMessage(a)
		found, err := wire.Placeholders(a, 1)
		if err == nil && len(attachments) == 1 && found[0].Start == 0 && found[0].End == len(a) {
			list[i] = attachments[0]
		}
	}
	return list
}
