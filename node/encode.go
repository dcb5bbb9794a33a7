package node

import (
	"unicode/utf8"

	"github.com/meshrt/meshrt/wire"
)

// What Go code emits is checked here, before it is anybody's: official clients
// close their connection for an event that they cannot put together, and one
// bad message would cut all members of a room.

// encodeEvent is the payload of event(args...) as Go code gives it.
func encodeEvent(event string, args []any) (payload []byte, attachments [][]byte, err error) {
	if err := CheckEvent(event); err != nil {
		return nil, nil, err
	}
	return encode(event, args)
}

// encodeArgs is the argument list of an answer.
func encodeArgs(args []any) (list wire.Args, attachments [][]byte, err error) {
	payload, attachments, err := encode("", args)
	if err != nil {
		return nil, nil, err
	}
	if list, err = wire.SplitArgs(payload); err != nil {
		return nil, nil, Errorf(CodeInvalid, "arguments: %v", err)
	}
	return list[1:], attachments, nil
}

func encode(name string, args []any) (payload []byte, attachments [][]byte, err error) {
	if len(args) >= wire.MaxArgs {
		return nil, nil, Errorf(CodeLimit, "more than %d arguments", wire.MaxArgs-1)
	}
	payload, attachments, err = wire.MarshalArgs(name, args...)
	if err != nil {
		return nil, nil, Errorf(CodeInvalid, "%v", err)
	}
	return payload, attachments, checkPayload(payload, attachments)
}

// joinEvent is the payload of event(args...) of arguments that are JSON already.
func joinEvent(event string, args wire.Args, attachments [][]byte) ([]byte, error) {
	if err := CheckEvent(event); err != nil {
		return nil, err
	}
	if len(args) >= wire.MaxArgs {
		return nil, Errorf(CodeLimit, "more than %d arguments", wire.MaxArgs-1)
	}
	for i, a := range args {
		if !wire.ValidJSON(a) {
			return nil, Errorf(CodeInvalid, "argument %d of event %.60q is not JSON", i+1, event)
		}
	}
	payload, err := args.JoinEvent(event)
	if err != nil {
		return nil, Errorf(CodeInvalid, "event name: %v", err)
	}
	return payload, checkPayload(payload, attachments)
}

// checkPayload checks what a valid JSON text may still do to clients.
func checkPayload(payload []byte, attachments [][]byte) error {
	if !utf8.Valid(payload) { // browsers would close the websocket that it arrives on
		return Errorf(CodeInvalid, "arguments are not valid UTF-8")
	}
	if err := wire.CheckDepth(payload); err != nil {
		return Errorf(CodeLimit, "arguments: %v", err)
	}
	if len(attachments) > wire.MaxAttachments {
		return Errorf(CodeLimit, "more than %d attachments", wire.MaxAttachments)
	}
	if _, err := wire.Placeholders(payload, len(attachments)); err != nil {
		return Errorf(CodeInvalid, "arguments: %v", err)
	}
	size := len(payload)
	for _, a := range attachments {
		size += len(a)
	}
	return checkSize(size)
}

func checkSize(size int) error {
	if size > wire.MaxMessage {
		return Errorf(CodeLimit, "message of %d bytes, allowed are %d", size, wire.MaxMessage)
	}
	return nil
}
