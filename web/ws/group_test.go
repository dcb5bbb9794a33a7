package ws

import (
	"bytes"
	"slices"
	"testing"
)

func TestNewMessageIsNewGroupOfOneMessage(t *testing.T) {
	for _, op := range []Opcode{Text, Binary} {
		for _, size := range []int{0, 1, 125, 126, maxCopied + 1, 1<<16 - 1, 1 << 16} {
			data := bytes.Repeat([]byte("x"), size)
			for _, hint := range []int{0, size, size + 5} {
				got, want := NewMessage(op, append(Room(hint), data...)), NewGroup(Frame{op, data})
				if got.Size() != want.Size() || got.messages != 1 || len(got.Frames()) != 1 || got.Frames()[0].Opcode != op || !bytes.Equal(got.Frames()[0].Data, data) {
					t.Errorf("%d bytes: another group", size)
				}
				a, b := got.encode(), want.encode()
				if len(a) != 1 || !bytes.Equal(append(a[0].head, a[0].data...), append(b[0].head, b[0].data...)) {
					t.Errorf("%d bytes: another frame, of %d bytes", size, a[0].size())
				}
			}
		}
	}
	if n := testing.AllocsPerRun(100, func() { NewMessage(Text, append(Room(1), 'x')).encode() }); n != 2 {
		t.Errorf("%v allocations, want the group and its text", n)
	}
}

func TestNewAnswerIsNewGroupOfHeadAndTail(t *testing.T) {
	for _, size := range []int{0, 1, 121, 122, maxCopied, 1<<16 - 5, 1<<16 - 4, 1 << 20} {
		head, tail := []byte("head"), bytes.Repeat([]byte("x"), size)
		got, want := NewAnswer(Text, head, tail), NewGroup(Frame{Text, append(bytes.Clone(head), tail...)})
		a, b := got.encode(), want.encode()
		if len(a) != 1 || !bytes.Equal(slices.Concat(a[0].head, a[0].data), slices.Concat(b[0].head, b[0].data)) {
			t.Errorf("%d bytes: another frame", size)
		}
		if size > 0 && &a[0].data[0] != &tail[0] {
			t.Errorf("%d bytes: what is shared was copied", size)
		}
		if f := got.Frames(); len(f) != 1 || f[0].Opcode != Text || !bytes.Equal(f[0].Data, want.Frames()[0].Data) || got.Size() != want.Size() || got.messages != 1 {
			t.Errorf("%d bytes: another group", size)
		}
	}
}
