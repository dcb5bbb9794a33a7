package plain

import "github.com/meshrt/meshrt/wire"

// appendText appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendText(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := wire.MarshalJSON(s) // of a string it cannot fail
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// appendMember appends ,"name":"value" to an object that has a member before.
func appendMember(dst []byte, name, value string) []byte {
	dst = append(dst, `,"`...)
	dst = append(dst, name...)
	return appendText(append(dst, `":`...), value)
}

// appendArgs appends ,"data":first and with several arguments ,"args":[all].
func appendArgs(dst []byte, args wire.Args) []byte {
	if len(args) == 0 {
		return dst
	}
	dst = append(append(dst, `,"data":`...), args[0]...)
	if len(args) == 1 {
		return dst
	}
	dst = append(dst, `,"args":[`...)
	for i, a := range args {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, a...)
	}
	return append(dst, ']')
}
