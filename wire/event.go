package wire

// ReservedEvent tells whether name is one that Socket.IO clients use for what
// happens to their connection. Nobody may send an event of such a name.
func ReservedEvent(name string) bool {
	switch name {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	}
	return false
}
