package ws

import (
	"bytes"
	"compress/flate"
	"io"
	"sync"
)

// inflater is a decompressor and what it reads, some 40 KB: one is there while a
// message is inflated.
type inflater struct {
	data  bytes.Reader
	flate io.ReadCloser
}

var inflaters = sync.Pool{New: func() any {
	i := &inflater{}
	i.flate = flate.NewReader(&i.data)
	return i
}}

// inflate is the message that was compressed as data, of at most so many bytes. One whose
// own last block is marked ends there (RFC 7692, section 7.2.3.4). What the client has
// left out is put back (section 7.2.2); the stream ends behind it without a last block.
func inflate(data []byte, most int) ([]byte, error) {
	i := inflaters.Get().(*inflater)
	defer inflaters.Put(i)
	i.data.Reset(append(data, deflateTail...))
	defer i.data.Reset(nil)
	i.flate.(flate.Resetter).Reset(&i.data, nil) // never fails
	return readMessage(i.flate, most)
}

// firstRead is what a message gets at first, in bytes: most are smaller.
const firstRead = 512

// readMessage reads a message to its end, or to where its compressor was flushed. It doubles its memory, up to the limit,
// and so leaves as garbage what the message has; io.ReadAll, which grows by a
// quarter, leaves five times as much, of which a hostile client can make a lot.
func readMessage(r io.Reader, most int) ([]byte, error) {
	data := make([]byte, 0, min(firstRead, most+1)) // the end is read with room left
	for {
		if len(data) == cap(data) {
			data = append(make([]byte, 0, min(2*cap(data), most+1)), data...)
		}
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case len(data) > most:
			return nil, errTooBig
		case err == io.EOF, err == io.ErrUnexpectedEOF:
			return data, nil
		case err != nil:
			return nil, errBreach
		}
	}
}
