package ws

import (
	"encoding/binary"
	"net/http"
	"net/url"
)

// Memo is what stays of a request, for as long as its session lives: one string, of
// which the parts are made again for who asks. Parsed they take five times as much, which
// is a third of what an idle client costs.
type Memo struct {
	RemoteAddr string
	TLS        bool   // it came over TLS to this server
	text       string // host, URL, names and values of the header, each behind its length
}

// Remember makes the Memo of r, which it does not keep.
func Remember(r *http.Request) Memo {
	address := r.URL.String()
	size := len(r.Host) + len(address) + 2*binary.MaxVarintLen32
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value) + 2*binary.MaxVarintLen16
		}
	}
	text := appendPart(appendPart(make([]byte, 0, size), r.Host), address)
	for name, values := range r.Header {
		for _, value := range values {
			text = appendPart(appendPart(text, name), value)
		}
	}
	return Memo{RemoteAddr: r.RemoteAddr, TLS: r.TLS != nil, text: string(text)}
}

func appendPart(text []byte, part string) []byte {
	return append(binary.AppendUvarint(text, uint64(len(part))), part...)
}

// part is the first part of text, and what is behind it.
func part(text string) (first, rest string) {
	size, shift := 0, 0
	for i := range len(text) {
		size |= int(text[i]&0x7f) << shift
		if shift += 7; text[i] < 0x80 {
			end := i + 1 + size
			return text[i+1 : end], text[end:]
		}
	}
	return "", ""
}

// Host is the Host of the request.
func (m Memo) Host() string {
	host, _ := part(m.text)
	return host
}

// URL is that of the request, made anew.
func (m Memo) URL() *url.URL {
	_, rest := part(m.text)
	text, _ := part(rest)
	u, err := url.Parse(text)
	if err != nil { // what URL.String has made parses
		return &url.URL{}
	}
	return u
}

// Header is that of the request, made anew.
func (m Memo) Header() http.Header {
	_, rest := part(m.text)
	_, rest = part(rest)
	header := http.Header{}
	for rest != "" {
		var name, value string
		name, rest = part(rest)
		value, rest = part(rest)
		header[name] = append(header[name], value)
	}
	return header
}
