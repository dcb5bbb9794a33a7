package ws

// Asleep says that the writer has nothing to do, and has given up the turn.
func (c *Conn) Asleep() bool {
	if !c.turn.TryLock() {
		return false
	}
	defer c.turn.Unlock()
	return len(c.wake) == 0 && c.pending.batch == nil
}
