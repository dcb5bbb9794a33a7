//go:build !linux || !(amd64 || arm64)

package web

import "net"

// doorway is for systems whose calls it is written for: here net/http has all.
type doorway struct {
	net.Listener
	front
}

func (h heartbeats) listenInFront(addr string) (net.Listener, error) { return h.listen(addr) }
