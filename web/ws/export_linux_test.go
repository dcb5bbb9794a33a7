package ws

// Conns is how many connections are parked.
func (p *Poller) Conns() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.epoll == nil {
		return 0
	}
	return p.epoll.conns
}
