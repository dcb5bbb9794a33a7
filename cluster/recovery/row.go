package recovery

import "sort"

// row is a queue of which every element can be looked at. It keeps them in chunks: taking off the oldest lets go of them,
// and adding one never copies those that are here.
type row[T any] struct {
	chunks []*[rowChunk]T
	head   int // of the oldest, in the first chunk
	n      int
}

const rowChunk = 512

func (r *row[T]) len() int { return r.n }

// at is the i-th, 0 the oldest.
func (r *row[T]) at(i int) *T {
	i += r.head
	return &r.chunks[i/rowChunk][i%rowChunk]
}

func (r *row[T]) push(v T) {
	if r.head+r.n == len(r.chunks)*rowChunk {
		r.chunks = append(r.chunks, new([rowChunk]T))
	}
	r.n++
	*r.at(r.n - 1) = v
}

// drop takes off the oldest.
func (r *row[T]) drop() {
	var none T
	*r.at(0) = none
	r.head++
	r.n--
	switch {
	case r.n == 0:
		r.chunks, r.head = r.chunks[:min(1, len(r.chunks))], 0
	case r.head == rowChunk:
		r.chunks[0] = nil
		r.chunks, r.head = r.chunks[:copy(r.chunks, r.chunks[1:])], 0
	}
}

// cut takes off the newest but n.
func (r *row[T]) cut(n int) {
	var none T
	for ; r.n > n; r.n-- {
		*r.at(r.n - 1) = none
	}
	r.chunks = r.chunks[:(r.head+r.n+rowChunk-1)/rowChunk]
}

// find is the first that is not before, where all that are come first; len if there is none.
func (r *row[T]) find(before func(*T) bool) int {
	return sort.Search(r.n, func(i int) bool { return !before(r.at(i)) })
}
