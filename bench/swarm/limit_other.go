//go:build !linux && !darwin

package swarm

// raiseLimit does nothing: here no limit is known that could be raised.
func raiseLimit(int) error { return nil }
