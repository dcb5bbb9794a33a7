package node

import (
	"unicode/utf8"

	"github.com/meshrt/meshrt/wire"
)

// encodeEvent is the payload of event(args...) as Go code gives it.
func encodeEvent(event string, args []any) (payload []byte, attachments [][]byte, err error) {
	if err := CheckEvent(event); err != nil {
		return nil, nil, err
	}
	payload, attachments, err = wire.MarshalArgs(event, args...)
	if err != nil {
		return nil, nil, Errorf(CodeInvalid, "%v", err)
	}
	return payload, attachments, checkPayload(event, payload)
}

// encodeArgs is the argument list of an answer.
func encodeArgs(args []any) (list wire.Args, attachments [][]byte, err error) {
	payload, attachments, err := wire.MarshalArgs("", args...)
	if err != nil {
		return nil, nil, Errorf(CodeInvalid, "%v", err)
	}
	if list, err = wire.SplitArgs(payload); err != nil {
		return nil, nil, Errorf(CodeInvalid, "ack: %v", err)
	}
	return list[1:], attachments, nil
}

func checkPayload(event string, payload []byte) error {
	if !utf8.Valid(payload) { // browsers would close the websocket that it arrives on
		return Errorf(CodeInvalid, "event %.60q is not valid UTF-8", event)
	}
	return nil
}

func checkSize(m *wire.Message) error {
	if size := m.Size(); size > wire.MaxMessage {
		return Errorf(CodeLimit, "message of %d bytes, allowed are %d", size, wire.MaxMessage)
	}
	return nil
}
