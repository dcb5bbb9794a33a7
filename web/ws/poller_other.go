//go:build !linux

package ws

import "errors"

// Poller waits for the input of connections, all together, on Linux. Here each has a
// goroutine.
type Poller struct{}

var errNotParked = errors.New("ws: connections are parked on Linux only")

func (p *Poller) add(*Conn) error { return errNotParked }

func (p *Poller) remove(*Conn) {}

type input struct{}

func (c *Conn) readAll(*input) (goesOn bool) { return true }

// Slow is how often the connections were read elsewhere for a while: never, where each has a
// goroutine of its own.
func (p *Poller) Slow() uint64 { return 0 }
