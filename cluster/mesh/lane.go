package mesh

// Lane is one of the queues of a link's direction. Frames of a lane keep their
// order; those of different lanes may overtake each other.
type Lane uint8

// The lanes, by the order in which they go: all but control have data.
const (
	LaneControl Lane = iota
	LaneHigh
	LaneNormal
	LaneLow
	Lanes = 4
)
