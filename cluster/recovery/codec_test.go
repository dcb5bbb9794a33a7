package recovery

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshrt/meshrt/wire"
)

// filler puts into every field another value that is not zero.
type filler struct {
	t    testing.TB
	n    uint64
	each int // elements of lists and maps
}

func (f *filler) fill(v reflect.Value) {
	f.n++
	switch x := v.Addr().Interface().(type) {
	case *wire.Stream:
		*x = wire.StreamLow
		return
	case *FoundKind:
		*x = FoundAlive
		return
	case **wire.Message:
		*x = wire.NewMessage(wire.Envelope{Origin: wire.NodeID(f.n), Namespace: "/n", Rooms: []string{"r"}, Flags: wire.High, From: "f"}, []byte(`["e"]`))
		(*x).Seq = f.n
		return
	}
	switch v.Kind() {
	case reflect.Uint64:
		v.SetUint(f.n)
	case reflect.Int64:
		v.SetInt(int64(f.n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString(fmt.Sprint("s", f.n))
	case reflect.Uint8:
		v.SetUint(f.n%255 + 1)
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), f.each, f.each))
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range f.each {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			f.fill(key)
			f.fill(value)
			v.SetMapIndex(key, value)
		}
	default:
		f.t.Fatalf("no value for a %v: this test has to learn the type", v.Type())
	}
}

// filled has a frame of each type that can be read.
func filled(t testing.TB, each int) (frames []Frame) {
	f := filler{t: t, each: each}
	for k, read := range readers {
		if read == nil {
			continue
		}
		// What reads a frame of no fields tells its type.
		c := coder{in: wire.ReadValues(nil)}
		v := reflect.New(reflect.TypeOf(read(&c))).Elem()
		f.fill(v)
		frames = append(frames, v.Interface().(Frame))
		if b := AppendFrame(nil, v.Interface().(Frame)); len(b) < 2 || b[1] != byte(k) {
			t.Errorf("%v is written as %.8x, kind %d reads it", v.Type(), b, k)
		}
	}
	return frames
}

// TestEveryFieldOfEveryFrameArrives: of types and fields that are added as well.
func TestEveryFieldOfEveryFrameArrives(t *testing.T) {
	for _, each := range []int{1, 2, 70} {
		for _, f := range filled(t, each) {
			b := AppendFrame([]byte("before"), f)
			got, err := DecodeFrame(b[len("before"):])
			if err != nil || !reflect.DeepEqual(got, f) {
				t.Errorf("%T of %d:\n got %.2000s, %v\nwant %.2000s", f, each, fmt.Sprintf("%+v", got), err, fmt.Sprintf("%+v", f))
			}
		}
	}
}

// TestEveryTypeOfFrameHasAKind: what is a frame by its method, in any file.
func TestEveryTypeOfFrameHasAKind(t *testing.T) {
	want := map[string]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if m, ok := d.(*ast.FuncDecl); ok && m.Recv != nil && m.Name.Name == "frame" {
				want[m.Recv.List[0].Type.(*ast.Ident).Name] = true
			}
		}
	}
	got := map[string]bool{}
	for _, f := range filled(t, 1) {
		got[reflect.TypeOf(f).Name()] = true
	}
	if !maps.Equal(got, want) || len(got) < 20 {
		t.Errorf("written and read are\n%v, frames are\n%v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// TestNothingIsNotEmpty: where it makes a difference.
func TestNothingIsNotEmpty(t *testing.T) {
	for _, f := range []Frame{
		Mirror{},
		Mirror{Met: map[wire.NodeID]wire.Frontiers{}, Base: Vector{}},
		Granted{Record: Record{Rooms: map[string]uint64{}, Replay: Replay{Want: Want{Rooms: map[string]Vector{}}}}, Want: Want{Rooms: map[string]Vector{"a": nil, "b": {}, "c": {1: {2, 3, 4}}}, Base: Vector{}}},
		Fetched{},
		Fetched{Members: map[wire.NodeID]Member{}},
	} {
		if got, err := DecodeFrame(AppendFrame(nil, f)); err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("got %+v, %v\nwant %+v", got, err, f)
		}
	}
	got, err := DecodeFrame(AppendFrame(nil, Granted{}))
	if err != nil || got.(Granted).Record.Rooms == nil {
		t.Errorf("a record without rooms: %+v, %v: rooms cannot be added", got, err)
	}
}

// TestTimeIsNeverLessThanNone: clocks of others may say so.
func TestTimeIsNeverLessThanNone(t *testing.T) {
	got, err := DecodeFrame(AppendFrame(nil, Take{Age: -time.Second}))
	if err != nil || got.(Take).Age != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestNewerFramesAreRead: with more fields in every struct, and of a kind that is not known.
func TestNewerFramesAreRead(t *testing.T) {
	for _, f := range filled(t, 2) {
		c := coder{writes: true, newer: 2}
		c.write(f)
		got, err := DecodeFrame(c.out)
		if err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("%T:\n got %.2000s, %v\nwant %.2000s", f, fmt.Sprintf("%+v", got), err, fmt.Sprintf("%+v", f))
		}
	}
	for _, unknown := range [][]byte{{0x91, 0x00}, {0x92, 0x7f, 0x91, 0x00}, {0x91, 0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}} {
		if got, err := DecodeFrame(unknown); got != nil || err != nil {
			t.Errorf("%x: got %v, %v, want nothing", unknown, got, err)
		}
	}
}

// TestMalformedFramesAreErrors: and whatever is cut off is.
func TestMalformedFramesAreErrors(t *testing.T) {
	for _, f := range filled(t, 2) {
		b := AppendFrame(nil, f)
		for n := range b {
			if got, err := DecodeFrame(b[:n:n]); !errors.Is(err, wire.ErrMalformed) || got != nil {
				t.Fatalf("%T, %d bytes of %d: got %v, %v", f, n, len(b), got, err)
			}
		}
	}
	m := wire.NewMessage(wire.Envelope{Namespace: "/"}, nil)
	for name, b := range map[string][]byte{
		"too few fields":               {0x91, byte(kindMirrored)},
		"no array":                     {0x01},
		"a stream that is not there":   AppendFrame(nil, Mirror{Order: []Placed{{Ref: Ref{Stream: 3}}}}),
		"a kind of finding":            AppendFrame(nil, Found{Kind: FoundAlive + 1}),
		"a message of nobody":          AppendFrame(nil, TailEntries{Entries: []*wire.Message{m}}),
		"an age of many lives":         append([]byte{0x95, byte(kindTake), 0, 0xa0, 0x92, 0, 0}, 0xcf, 0xff, 0, 0, 0, 0, 0, 0, 0),
		"a place without its numbers":  {0x9c, byte(kindMirror), 0, 0xc2, 0x93, 0x92, 0, 0, 0x92, 0, 0, 0x92, 0, 0, 0x93, 1, 1, 1, 0xc0, 0, 0x95, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0x90, 0x90, 0x90, 0x90},
		"a key without a value":        {0x92, byte(kindClaims), 0x91, 0xa1, 'x'},
		"a message that is none":       {0x9d, byte(kindTailEntries), 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0x91, 0xc4, 1, 5},
		"a count of what is not there": {0x93, byte(kindBuddies), 1, 0xdd, 0xff, 0xff, 0xff, 0xff},
	} {
		if got, err := DecodeFrame(b); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

// TestFramesCostWhatTheyHave: however small the things are that one claims to have.
func TestFramesCostWhatTheyHave(t *testing.T) {
	const many = 20000
	m := wire.NewMessage(wire.Envelope{Origin: 1}, nil)
	for _, f := range []Frame{
		Mirror{Sessions: make([]Saved, many)},
		Mirror{Order: make([]Placed, many)},
		Fetched{Sections: make([]Section, many)},
		TailEntries{Entries: slices.Repeat([]*wire.Message{m}, many)},
		Buddies{Set: make([]wire.NodeID, many)},
	} {
		b := AppendFrame(nil, f)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := DecodeFrame(b)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; err != nil || got > uint64(80*len(b)) {
			t.Errorf("%T of %d bytes: %d bytes for it, %v", f, len(b), got, err)
		}
	}
}

// TestSessionsOutliveTheirFrame: a mirror keeps them for minutes, so they must hold on to nothing else.
func TestSessionsOutliveTheirFrame(t *testing.T) {
	f := Mirror{Sessions: []Saved{{Record: Record{PID: "secret", SID: "sid", Namespace: "/n", User: "u", Data: []byte("data"), Rooms: map[string]uint64{"room": 1}}}}}
	b := AppendFrame(nil, f)
	got, err := DecodeFrame(b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b { // which nobody may do but this test
		b[i] = 'x'
	}
	want := f.Sessions[0].Record
	rec := got.(Mirror).Sessions[0].Record
	if rec.PID != want.PID || rec.SID != want.SID || rec.Namespace != want.Namespace || rec.User != want.User || !bytes.Equal(rec.Data, want.Data) || rec.Rooms["room"] != 1 {
		t.Errorf("got %+v, want %+v", rec, want)
	}
}

// TestBytesOfFrames: what this version sends, later ones must be able to read. A line of the file changes only with a new version of the
// protocol; new lines come with new types.
func TestBytesOfFrames(t *testing.T) {
	var got strings.Builder
	for _, f := range filled(t, 1) {
		fmt.Fprintf(&got, "%s %s\n", reflect.TypeOf(f).Name(), hex.EncodeToString(AppendFrame(nil, f)))
	}
	const name = "testdata/frames.txt"
	want, err := os.ReadFile(name)
	if err != nil || got.String() != string(want) {
		t.Errorf("%s, %v: the table in wire/DESIGN.md changes with it:\n got\n%s\nwant\n%s", name, err, got.String(), want)
	}
}

// FuzzDecodeFrame: no input panics, and what is read is what is written again.
func FuzzDecodeFrame(f *testing.F) {
	for _, frame := range filled(f, 2) {
		f.Add(AppendFrame(nil, frame))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		first, err := DecodeFrame(b)
		if err != nil || first == nil {
			return
		}
		second, err := DecodeFrame(AppendFrame(nil, first))
		if err != nil || !reflect.DeepEqual(first, second) {
			t.Fatalf("%x:\n first %+v\nsecond %+v, %v", b, first, second, err)
		}
	})
}
