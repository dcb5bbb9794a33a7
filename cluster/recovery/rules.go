package recovery

// Rule is a set of rules of the protocol that a test breaks, to see that it is noticed.
// Zero in every program.
type Rule uint32

const (
	BreakTail          Rule = 1 << iota // nobody completes what a dead node has published
	BreakAck                            // publishers are told before mirrors have it
	BreakOrder                          // the order is not mirrored
	BreakClose                          // a mirror speaks for a node that it does not take for dead
	BreakFilter                         // what is replayed is not looked at
	BreakLive                           // a session begins before the barriers have come
	BreakGate                           // what is replayed comes live as well
	BreakOwner                          // the mirror is asked though there is an owner
	BreakHeal                           // claims are not compared
	BreakJoin                           // joins do not wait for the mirrors
	BreakFence                          // joins do not wait for barriers
	BreakGen                            // any mirror will do
	BreakJoint                          // while buddies change only the old ones must have it
	BreakAnswer                         // the client is answered before mirrors have the session
	BreakReplayCursors                  // what has come of a replay counts for nothing
	BreakHeld                           // a mirror gives a session to everybody who asks
	BreakSections                       // an origin that says nothing has published nothing
	BreakShort                          // what has left the logs is not asked for
	BreakSince                          // where a session joined is not looked at
	BreakDoubt                          // what a mirror did not have when it closed the stream is acknowledged
	BreakHandover                       // a new buddy counts before it has everything
	BreakMet                            // what was published before two nodes had met is for both
	BreakParts                          // the first part of what is replayed is taken for all
	BreakTailParts                      // ... of what a dead node has published
	BreakQuiet                          // it is not looked at whether a quiet client has its last message
	BreakUnable                         // it is not looked at whether all nodes have recovery
	BreakRelink                         // no barriers are asked for when a link comes up
	BreakLag                            // it is not looked at what a cursor says beside its place
	BreakHandOn                         // who drains keeps what it mirrors of dead nodes to itself
	BreakHandOnParts                    // ... and whoever gets the first part of that speaks for them
	BreakLate                           // whoever does not answer in time is not waited for: all are asked anew
	BreakBegin                          // a session that began before its mirrors knew is recovered from what they know
)

func (m *Machine) breaks(r Rule) bool { return m.cfg.Broken&r != 0 }
