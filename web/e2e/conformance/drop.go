package main

import (
	"net"
	"sync"
)

// connections is a net.Listener that can cut the connection of a client, as a
// network does: the Go API ends sessions in order only.
type connections struct {
	net.Listener
	open sync.Map // *connection by the address of the client
}

type connection struct {
	net.Conn
	forget func()
}

// Accept implements net.Listener.
func (c *connections) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	addr := conn.RemoteAddr().String()
	known := &connection{conn, func() { c.open.Delete(addr) }}
	c.open.Store(addr, known)
	return known, nil
}

func (c *connection) Close() error {
	c.forget()
	return c.Conn.Close()
}

// drop closes the connection on which a session was opened. A session that
// has moved to another one since, or is on polling, is not ended by that.
func (c *connections) drop(addr string) {
	if conn, ok := c.open.Load(addr); ok {
		conn.(*connection).Close()
	}
}
