package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Args is the JSON text of an argument list, split into its elements: views of
// the text, so that what a client wrote goes on byte for byte.
type Args []json.RawMessage

const (
	// MaxArgs limits the number of elements: the name and arguments of one event.
	MaxArgs = 256
	// MaxDepth limits how deep arrays and objects may nest. Parsers of other
	// languages give up earlier than ours (Python's at 1,000), and one such text
	// would cut all their clients in a room.
	MaxDepth = 512
	// MaxAttachments limits the binary values of one event, as official clients do.
	MaxAttachments = 10
)

var errNoArray = errors.New("not a JSON array")

// SplitArgs splits text, which must be valid JSON, into the elements of the
// array that it is. It fails on anything but an array and beyond MaxArgs and
// MaxDepth.
func SplitArgs(text []byte) (Args, error) {
	if err := CheckDepth(text); err != nil {
		return nil, err
	}
	i := skipSpace(text, 0)
	if i == len(text) || text[i] != '[' {
		return nil, errNoArray
	}
	if i = skipSpace(text, i+1); i < len(text) && text[i] == ']' {
		return Args{}, nil
	}
	args := make(Args, 0, 4) // most have no more
	for i < len(text) {
		if len(args) == MaxArgs {
			return nil, fmt.Errorf("more than %d arguments", MaxArgs)
		}
		end := skipValue(text, i)
		args = append(args, json.RawMessage(text[i:end:end]))
		if i = skipSpace(text, end); i == len(text) || text[i] != ',' {
			break
		}
		i = skipSpace(text, i+1)
	}
	if i >= len(text) || text[i] != ']' {
		return nil, errNoArray
	}
	return args, nil
}

// CheckDepth fails when a valid JSON text nests deeper than MaxDepth.
func CheckDepth(text []byte) error {
	if len(text) <= MaxDepth { // a level takes a byte at least
		return nil
	}
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = skipString(text, i) - 1
		case '[', '{':
			if depth++; depth > MaxDepth {
				return fmt.Errorf("nested deeper than %d", MaxDepth)
			}
		case ']', '}':
			depth--
		}
	}
	return nil
}

// String decodes argument i, which must be a JSON string.
func (a Args) String(i int) (string, bool) {
	if i >= len(a) || len(a[i]) == 0 || a[i][0] != '"' {
		return "", false
	}
	if end := len(a[i]) - 1; end > 0 && a[i][end] == '"' && Plain(a[i][1:end]) {
		return string(a[i][1:end]), true
	}
	var s string
	if json.Unmarshal(a[i], &s) != nil {
		return "", false
	}
	return s, true
}

// Join is the JSON text of the array of the elements.
func (a Args) Join() []byte {
	b := append(make([]byte, 0, 2+a.size()), '[')
	for i, v := range a {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, v...)
	}
	return append(b, ']')
}

// JoinEvent is Join with the name of an event in front.
func (a Args) JoinEvent(event string) ([]byte, error) {
	b := make([]byte, 0, 4+len(event)+a.size())
	if Plain(event) {
		b = append(append(append(b, '[', '"'), event...), '"')
	} else {
		name, err := MarshalJSON(event)
		if err != nil {
			return nil, err
		}
		b = append(append(b, '['), name...)
	}
	for _, v := range a {
		b = append(append(b, ','), v...)
	}
	return append(b, ']'), nil
}

// size is that of the elements, each with a comma.
func (a Args) size() (n int) {
	for _, v := range a {
		n += len(v) + 1
	}
	return n
}

// MarshalArgs is the payload and the attachments of event(args...). Arguments
// that are a []byte become attachments; all others are marshalled as JSON,
// without the escapes of HTML that no official client writes.
func MarshalArgs(event string, args ...any) (payload []byte, attachments [][]byte, err error) {
	list := make(Args, 0, 1+len(args))
	for i, v := range append([]any{event}, args...) {
		if b, ok := v.([]byte); ok {
			list = append(list, fmt.Appendf(nil, `{"_placeholder":true,"num":%d}`, len(attachments)))
			attachments = append(attachments, bytes.Clone(b)) // the caller may use its buffer again
			continue
		}
		text, err := MarshalJSON(v)
		if err != nil {
			return nil, nil, fmt.Errorf("argument %d of event %q: %w", i, event, err)
		}
		list = append(list, text)
	}
	return list.Join(), attachments, nil
}

// MarshalJSON is json.Marshal without HTML escapes.
func MarshalJSON(v any) ([]byte, error) {
	if raw, ok := v.(json.RawMessage); ok && ValidJSON(raw) && utf8.Valid(raw) {
		return raw, nil // not compacted: the text stays as its author wrote it
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Placeholder is where a JSON text stands for an attachment.
type Placeholder struct{ Start, End, Num int }

// Placeholders finds every {"_placeholder":true,"num":i} in a valid JSON text
// that stands for n attachments. As in the official parser an object is one
// when its member _placeholder is true. Each attachment must be used exactly
// once: a text that an official client could not put together again would make
// it close its connection (socket.io-parser CVE-2022-2421 came of checking
// less). Without attachments such an object is data like any other.
func Placeholders(text []byte, n int) ([]Placeholder, error) {
	if n == 0 {
		return nil, nil
	}
	var all any
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	found := scanPlaceholders(text)
	// The scan knows the form that official clients write; a text that hides
	// one from it (escapes in the name, further members with structure) has
	// more of them once decoded.
	if want := countPlaceholders(all); want != n || len(found) != n {
		return nil, fmt.Errorf("%d placeholders for %d attachments", want, n)
	}
	used := make([]bool, n)
	for _, p := range found {
		if p.Num < 0 || p.Num >= n || used[p.Num] {
			return nil, fmt.Errorf("placeholder number %d, want each of %d attachments once", p.Num, n)
		}
		used[p.Num] = true
	}
	return found, nil
}

func countPlaceholders(v any) int {
	n := 0
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			n += countPlaceholders(e)
		}
	case map[string]any:
		if v["_placeholder"] == true {
			return 1
		}
		for _, e := range v {
			n += countPlaceholders(e)
		}
	}
	return n
}

func scanPlaceholders(text []byte) []Placeholder {
	var found []Placeholder
	for i := 0; i < len(text); {
		switch text[i] {
		case '"':
			i = skipString(text, i)
			continue
		case '{':
			if end := flatObjectEnd(text, i); end > 0 {
				if num, ok := placeholderNum(text[i:end]); ok {
					found = append(found, Placeholder{i, end, num})
				}
				i = end
				continue
			}
		}
		i++
	}
	return found
}

// flatObjectEnd is the end of the object at text[i], zero when there are
// objects or arrays in it: those are looked into, which keeps the walk linear.
func flatObjectEnd(text []byte, i int) int {
	for j := i + 1; j < len(text); {
		switch text[j] {
		case '"':
			j = skipString(text, j)
			continue
		case '{', '[':
			return 0
		case '}':
			return j + 1
		}
		j++
	}
	return 0
}

// placeholderNum is the number in a placeholder, -1 when it has none that could be.
func placeholderNum(object []byte) (num int, ok bool) {
	if !bytes.Contains(object, []byte(`"_placeholder"`)) {
		return 0, false
	}
	var m map[string]any
	if json.Unmarshal(object, &m) != nil || m["_placeholder"] != true {
		return 0, false
	}
	f, isNumber := m["num"].(float64)
	if !isNumber || f != float64(int(f)) {
		return -1, true
	}
	return int(f), true
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// skipString is the index behind the string that starts at b[i].
func skipString(b []byte, i int) int {
	for i++; i < len(b); {
		i += plain(b[i:])
		if i < len(b) && b[i] == '"' {
			return i + 1
		}
		if i < len(b) && b[i] == '\\' {
			i++
		}
		i++
	}
	return len(b)
}

// skipValue is the index behind the JSON value that starts at b[i].
func skipValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i = skipString(b, i); depth == 0 {
				return i
			}
			continue
		case '[', '{':
			depth++
		case ']', '}':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return len(b)
}
