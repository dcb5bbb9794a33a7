package wire

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// TestPartsOfRecoveryMakeTheWhole: none is larger than what waits for others, and the last says so.
func TestPartsOfRecoveryMakeTheWhole(t *testing.T) {
	for _, size := range []int{0, 1, recoveryPart - 1, recoveryPart, recoveryPart + 1, recoveryPart + recoveryHeader, 3 * recoveryPart, 1 << 20} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i % 251)
		}
		var got []byte
		frames, last := 0, false
		for f := range RecoveryFrames(append(StartRecovery(nil), want...)) {
			part, more, err := DecodeRecovery(Frame(f[frameHeader:]))
			if err != nil || last || len(part) > recoveryPart || Frame(f[frameHeader:]).Kind() != KindRecovery {
				t.Fatalf("%d bytes, frame %d: %d bytes, %v, one after the last: %v", size, frames, len(part), err, last)
			}
			if n := binary.BigEndian.Uint32(f); int(n) != len(f)-frameHeader {
				t.Fatalf("%d bytes, frame %d of %d bytes says %d", size, frames, len(f), n)
			}
			got = append(got, part...)
			frames, last = frames+1, !more
		}
		if want := max(1, (size+recoveryPart-1)/recoveryPart); !last || frames != want {
			t.Errorf("%d bytes: %d frames, want %d, the last said so: %v", size, frames, want, last)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes: others came", size)
		}
	}
}

func TestMalformedPartsOfRecovery(t *testing.T) {
	for _, b := range []string{"", "\x91\x12", "\x92\x12\xc2", "\x93\x12\x01\xc4\x00", "\x93\x12\xc2\xc6\xff\xff\xff\xff", "\x93\x11\xc2\xc4\x00"} {
		if _, _, err := DecodeRecovery(Frame(b)); err == nil {
			t.Errorf("%x: no error", b)
		}
	}
	if part, more, err := DecodeRecovery(Frame("\x94\x12\xc3\xc4\x01x\x05")); err != nil || string(part) != "x" || !more {
		t.Errorf("of a newer version: %q, %v, %v", part, more, err)
	}
}

// TestOldFramesOfHello: a node of the version before has no features and does not mind those of others.
func TestOldFramesOfHello(t *testing.T) {
	h := Hello{1, 2, 3, "n1", "a:1", FeatureRecovery}
	if got, err := DecodeHello(body(AppendHello(nil, h))); err != nil || got != h {
		t.Errorf("got %+v, %v", got, err)
	}
	h.Features = 0
	old := body(AppendHello(nil, h))
	if got, err := DecodeHello(old); err != nil || got != h || old[0] != 0x96 {
		t.Errorf("got %+v, %v of %x", got, err, old)
	}
}

// TestBarriersOfRecoveryAreToldFromOthers, and go to one node alone.
func TestBarriersOfRecoveryAreToldFromOthers(t *testing.T) {
	m := NewRound(7, High, 5)
	if round, is := RoundOf(m); round != 5 || !is || m.Flags.Stream() != StreamHigh || len(m.Rooms) != 1 || SessionID(m.Rooms[0]).Node() != 7 {
		t.Errorf("%+v: round %d, %v", m, round, is)
	}
	for _, m := range []*Message{NewMessage(Envelope{Flags: Barrier}, nil), NewMessage(Envelope{}, m.Payload), NewMessage(Envelope{Flags: Barrier}, m.Payload[1:])} {
		if _, is := RoundOf(m); is {
			t.Errorf("%+v, %x: is one of recovery", m.Envelope, m.Payload)
		}
	}
}
