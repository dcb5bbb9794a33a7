package main

import (
	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/wire/eio"
)

// echo sends every message of a session back.
type echo struct{}

func (echo) Opened(s *engineio.Socket) engineio.Receiver { return echoes{s} }

type echoes struct{ socket *engineio.Socket }

func (e echoes) Received(data []byte, binary bool) {
	e.socket.Send(engineio.NewGroup(eio.Packet{Type: eio.Message, Binary: binary, Data: data}))
	e.socket.Flush()
}

func (e echoes) Closed(engineio.Reason) {}
