package sio

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/meshrt/meshrt/wire"
)

// Why a Decoder refuses its input. All its errors wrap one of these.
var (
	ErrMalformed = errors.New("malformed Socket.IO packet")
	ErrLimit     = errors.New("Socket.IO packet over a limit")
)

// DefaultMaxAttachments is the official parser's limit.
const DefaultMaxAttachments = wire.MaxAttachments

// Decoder puts the packets of one connection together from its messages. The
// zero Decoder is ready. It is not safe for concurrent use.
//
// After an error the connection should be closed; the Decoder has then dropped
// what it held.
type Decoder struct {
	MaxAttachments int // of one packet; 0 means DefaultMaxAttachments, less refuses binary packets
	MaxBytes       int // of the text and attachments of one packet; 0: no limit

	pending *Packet // waits for attachments; nil between packets
	missing int     // attachments that pending still lacks
	bytes   int     // of pending so far
}

// Text takes a text message. With whole, p is a packet; without, its attachments
// must come first, and the last call of Binary returns it.
//
// p.Data and p.Attachments alias what was given to Text and Binary, which must
// not change as long as p is in use. p.Data is valid JSON of the shape that
// p.Type asks for, valid UTF-8, and nested no deeper than encoding/json allows.
func (d *Decoder) Text(data []byte) (p Packet, whole bool, err error) {
	if d.pending != nil {
		missing := d.missing
		d.drop()
		return Packet{}, false, fmt.Errorf("text, with %d attachments to come: %w", missing, ErrMalformed)
	}
	if d.MaxBytes > 0 && len(data) > d.MaxBytes {
		return Packet{}, false, fmt.Errorf("text of %d bytes, at most %d: %w", len(data), d.MaxBytes, ErrLimit)
	}
	p, attachments, err := d.parse(data)
	if err != nil {
		return Packet{}, false, fmt.Errorf("text of %d bytes: %w", len(data), err) // no quote: it may hold a token
	}
	if attachments == 0 {
		return p, true, nil
	}
	held := p // only a packet that waits goes to the heap
	held.Attachments = make([][]byte, 0, attachments)
	d.pending, d.missing, d.bytes = &held, attachments, len(data)
	return Packet{}, false, nil
}

// Binary takes a binary message, the next attachment of the packet that the last
// Text began. With whole, p is that packet.
func (d *Decoder) Binary(data []byte) (p Packet, whole bool, err error) {
	if d.pending == nil {
		return Packet{}, false, fmt.Errorf("binary message, no packet waits for one: %w", ErrMalformed)
	}
	d.bytes += len(data)
	if d.MaxBytes > 0 && d.bytes > d.MaxBytes {
		size := d.bytes
		d.drop()
		return Packet{}, false, fmt.Errorf("text and attachments of %d bytes, at most %d: %w", size, d.MaxBytes, ErrLimit)
	}
	d.pending.Attachments = append(d.pending.Attachments, data)
	if d.missing--; d.missing > 0 {
		return Packet{}, false, nil
	}
	p = *d.pending
	d.drop()
	return p, true, nil
}

// Waits says that the attachments of a packet are to come.
func (d *Decoder) Waits() bool { return d.pending != nil }

// Held is the packet that waits for attachments, as messages that bring another
// Decoder to the same state: Text of the first, then Binary of each. Nil: none waits.
func (d *Decoder) Held() (text []byte, attachments [][]byte) {
	if d.pending == nil {
		return nil, nil
	}
	p := *d.pending
	attachments = p.Attachments
	p.Attachments = make([][]byte, len(attachments)+d.missing) // their number is in the text
	return Append(nil, p), attachments
}

func (d *Decoder) drop() { d.pending, d.missing, d.bytes = nil, 0, 0 }

// parse reads a text packet and how many attachments it announces.
func (d *Decoder) parse(text []byte) (p Packet, attachments int, err error) {
	if len(text) == 0 || text[0] < byte(Connect) || text[0] > byte(binaryAck) {
		return Packet{}, 0, fmt.Errorf("unknown type: %w", ErrMalformed)
	}
	if !utf8.Valid(text) {
		return Packet{}, 0, fmt.Errorf("invalid UTF-8: %w", ErrMalformed)
	}
	p.Type = Type(text[0])
	rest := text[1:]
	if p.Type >= binaryEvent {
		p.Type -= toBinary
		if attachments, rest, err = d.cutAttachments(rest); err != nil {
			return Packet{}, 0, err
		}
	}
	if p.Namespace, rest, err = cutNamespace(rest); err != nil {
		return Packet{}, 0, err
	}
	var digits int
	if p.AckID, digits = leadingNumber(rest); p.AckID > MaxAckID {
		return Packet{}, 0, fmt.Errorf("ack id above %d: %w", int64(MaxAckID), ErrLimit)
	}
	p.HasAck = digits > 0
	if rest = rest[digits:]; len(rest) > 0 {
		p.Data = rest[:len(rest):len(rest)]
	}
	return p, attachments, checkData(p.Type, p.Data, attachments)
}

// cutAttachments reads the "2-" that follows the type of a binary packet. The
// official parser takes 0 as well: the packet is whole at once.
func (d *Decoder) cutAttachments(b []byte) (n int, rest []byte, err error) {
	limit := d.MaxAttachments
	if limit == 0 {
		limit = DefaultMaxAttachments
	}
	v, digits := leadingNumber(b)
	if digits == 0 || digits == len(b) || b[digits] != '-' {
		return 0, nil, fmt.Errorf("no number of attachments: %w", ErrMalformed)
	}
	if int64(v) > int64(limit) {
		return 0, nil, fmt.Errorf("%d attachments, at most %d: %w", v, limit, ErrLimit)
	}
	return int(v), b[digits+1:], nil
}

// cutNamespace reads "/admin,". The comma may lack at the end of the text.
func cutNamespace(b []byte) (ns string, rest []byte, err error) {
	if len(b) == 0 || b[0] != '/' {
		return "/", b, nil
	}
	end, comma := 0, 0
	for end < len(b) && end <= MaxNamespace && b[end] != ',' {
		end++
	}
	if end > MaxNamespace {
		return "", nil, fmt.Errorf("namespace of more than %d bytes: %w", MaxNamespace, ErrLimit)
	}
	if end < len(b) {
		comma = 1
	}
	return string(b[:end]), b[end+comma:], nil
}

// leadingNumber is the decimal number at the start of b and how many digits it
// has. A number above MaxAckID is MaxAckID+1, so that none wraps around.
func leadingNumber(b []byte) (v uint64, digits int) {
	for digits < len(b) && b[digits] >= '0' && b[digits] <= '9' {
		v = min(v*10+uint64(b[digits]-'0'), MaxAckID+1)
		digits++
	}
	return v, digits
}

// checkData checks the payload of a packet, nil when there is none.
func checkData(t Type, data []byte, attachments int) error {
	if len(data) == 0 {
		if t == Event || t == Ack {
			return fmt.Errorf("%v without payload: %w", t, ErrMalformed)
		}
		return nil
	}
	if strings.IndexByte(payloadStart(t), data[0]) < 0 || !wire.ValidJSON(data) {
		return fmt.Errorf("invalid payload of %v: %w", t, ErrMalformed)
	}
	if t == Event {
		if reserved, ok := reservedName(data); !ok || reserved {
			return fmt.Errorf("invalid or reserved event name: %w", ErrMalformed)
		}
	}
	if _, err := wire.Placeholders(data, attachments); err != nil {
		return fmt.Errorf("%w: %w", err, ErrMalformed)
	}
	return nil
}

// payloadStart is the bytes that a payload of type t may start with. As they are
// no digits, the end of the ack id is where the payload starts.
func payloadStart(t Type) string {
	switch t {
	case Connect:
		return "{"
	case Event, Ack:
		return "["
	case ConnectError:
		return `{"`
	}
	return "" // Disconnect
}
