package ws

// encoded is a frame as it goes over the wire. Small ones are whole in head.
type encoded struct{ head, data []byte }

// maxCopied is the largest message that is copied behind its frame's head, in bytes.
// A larger one goes out in two pieces: a second copy would cost more memory than
// the second piece costs time.
const maxCopied = 4 << 10

// encode is f as it goes out uncompressed. A server's frames have no mask.
func (f Frame) encode() encoded {
	first := finBit | byte(f.Opcode)
	if len(f.Data) > maxCopied {
		return encoded{appendHead(nil, first, len(f.Data)), f.Data}
	}
	return encoded{head: append(frameHead(first, len(f.Data)), f.Data...)}
}

func (f encoded) size() int { return len(f.head) + len(f.data) }

func size(frames []encoded) int {
	n := 0
	for _, f := range frames {
		n += f.size()
	}
	return n
}

// from is f without its first n bytes.
func (f encoded) from(n int) encoded {
	if n < len(f.head) {
		return encoded{f.head[n:], f.data}
	}
	return encoded{head: f.data[n-len(f.head):]}
}

// after is what is left of frames when n bytes are out, and whether that begins
// within a frame, which it changes then.
func after(frames []encoded, n int) (rest []encoded, torn bool) {
	for i, f := range frames {
		if n < f.size() {
			frames[i] = f.from(n)
			return frames[i:], n > 0
		}
		n -= f.size()
	}
	return nil, false
}

// encode gives the group's frames as they go out uncompressed, made by the first to
// ask. Nobody may change them.
func (g *Group) encode() []encoded {
	if g.framed {
		return g.encoded
	}
	g.encodedOnce.Do(func() {
		g.encoded = make([]encoded, len(g.frames))
		for i, f := range g.frames {
			g.encoded[i] = f.encode()
		}
	})
	return g.encoded
}

// appendPacked appends the group's frames as they go to a client that takes
// compressed messages.
func (g *Group) appendPacked(frames []encoded, d *Deflater) []encoded {
	for i, packed := range g.deflate(d) {
		if packed != nil {
			frames = append(frames, encoded{head: packed})
		} else {
			frames = append(frames, g.encode()[i])
		}
	}
	return frames
}
