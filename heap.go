package main

// heapFloor is the heap, in bytes, below which the garbage collector does not run. A node with
// few clients uses 2 MB, for which it would run after each 4 MB of messages: ten thousand
// small ones of another node, whose receiver would spend a third of its time on that.
const heapFloor = 8 << 20

// raiseHeap raises the heap at which the garbage collector runs next to heapFloor, and a larger
// one by half of that, as long as what it returns is kept: memory that counts and is never
// touched, so that the system gives none for it. Whoever has set the collector's own variables,
// GOGC or GOMEMLIMIT, gets what they say, and nil is returned.
func raiseHeap(getenv func(string) string) []byte {
	if getenv("GOGC") != "" || getenv("GOMEMLIMIT") != "" {
		return nil
	}
	return make([]byte, heapFloor/2) // the collector runs when the heap has doubled
}
