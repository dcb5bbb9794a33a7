package presence

import (
	"github.com/meshrt/meshrt/wire"
)

// AppendJSON appends the member as encoding/json writes it, but for escapes of HTML, in a tenth of the time.
func (m *Member) AppendJSON(b []byte) []byte {
	b = appendText(append(b, `{"id":`...), m.ID)
	b = appendText(append(b, `,"user":`...), m.User)
	b = append(b, `,"info":`...)
	if len(m.Info) > 0 {
		b = append(b, m.Info...)
	} else {
		b = append(b, "null"...)
	}
	b = appendText(append(b, `,"node":`...), m.Node)
	for i, s := range m.Sockets {
		if i == 0 {
			b = append(b, `,"sockets":[`...)
		} else {
			b = append(b, ',')
		}
		b = appendText(append(b, `{"id":`...), s.ID)
		b = append(appendText(append(b, `,"node":`...), s.Node), '}')
	}
	if len(m.Sockets) > 0 {
		b = append(b, ']')
	}
	return append(b, '}')
}

func appendText(b []byte, s string) []byte {
	if wire.Plain(s) {
		return append(append(append(b, '"'), s...), '"')
	}
	text, err := wire.MarshalJSON(s)
	if err != nil {
		panic("presence: a string has no JSON text: " + err.Error())
	}
	return append(b, text...)
}

// AppendMembers appends a list of members: a JSON array.
func AppendMembers(b []byte, list []Member) []byte {
	if need := SizeOf(list); cap(b)-len(b) < need {
		b = append(make([]byte, 0, len(b)+need+16), b...)
	}
	b = append(b, '[')
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = list[i].AppendJSON(b)
	}
	return append(b, ']')
}

// SizeOf is what a list takes, or a little more where nothing is escaped.
func SizeOf(list []Member) int {
	const keys = 50 // of a member, with what is around them; a socket has half of that
	size := 2
	for i := range list {
		m := &list[i]
		size += keys + len(m.ID) + len(m.User) + len(m.Info) + len(m.Node)
		for _, s := range m.Sockets {
			size += keys/2 + len(s.ID) + len(s.Node)
		}
	}
	return size
}
