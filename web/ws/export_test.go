package ws

// Asleep says that nobody writes, and that nothing is left to write.
func (c *Conn) Asleep() bool { return c.turn.state.Load() == turnFree }
