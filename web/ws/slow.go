package ws

// Slow is why a client is cut that does not read as fast as others send.
type Slow uint8

// The causes.
const (
	SlowBytes    Slow = iota + 1 // Outbox.MaxBytes
	SlowMessages                 // Outbox.MaxGroups
	SlowWrite                    // one write took too long
	SlowEnd                      // counts them: no cause
)

// String is the cause as it is counted and logged.
func (s Slow) String() string {
	return [SlowEnd]string{"unknown", "queue bytes", "queue messages", "write timeout"}[s]
}
