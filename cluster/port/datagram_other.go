//go:build !linux || 386 || s390x

package port

import (
	"net"
	"net/netip"
)

// datagrams is a UDP socket as package net has it: elsewhere nothing was measured, or package syscall
// has no numbers of the calls.
type datagrams struct{ udp *net.UDPConn }

func newDatagrams(udp *net.UDPConn) *datagrams { return &datagrams{udp} }

func (d *datagrams) receive(b []byte) (int, netip.AddrPort, error) {
	return d.udp.ReadFromUDPAddrPort(b)
}

func (d *datagrams) send(b []byte, to netip.AddrPort) (int, error) {
	return d.udp.WriteToUDPAddrPort(b, to)
}
