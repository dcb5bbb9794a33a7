package plain

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/meshrt/meshrt/wire"
)

// AppendWelcome appends the first frame of a connection: the client's own
// session id, the operator's name of its node, and the secret with which it can
// resume, left out when "".
func AppendWelcome(dst []byte, id, node, session string) []byte {
	return append(appendWelcome(dst, id, node, session), '}')
}

// AppendWelcomeBack is AppendWelcome for a client that asked to resume, and says
// whether it did: if not, it has missed messages and is a new session.
func AppendWelcomeBack(dst []byte, id, node, session string, recovered bool) []byte {
	dst = append(appendWelcome(dst, id, node, session), `,"recovered":`...)
	return append(strconv.AppendBool(dst, recovered), '}')
}

func appendWelcome(dst []byte, id, node, session string) []byte {
	dst = append(dst, `{"type":"welcome"`...)
	dst = appendMember(dst, "id", id)
	dst = appendMember(dst, "node", node)
	if session != "" {
		dst = appendMember(dst, "session", session)
	}
	return dst
}

// AppendError appends the answer to a command without id that failed.
func AppendError(dst []byte, message, code string) []byte {
	dst = append(dst, `{"type":"error"`...)
	dst = appendMember(dst, "error", message)
	dst = appendMember(dst, "code", code)
	return append(dst, '}')
}

// AppendAck appends the answer to command id: the argument list of an ack, which
// must be valid JSON.
//
// A single object with a boolean "ok", as the built-in verbs answer, gives its
// members to the frame. Any other list is the answer of a handler: the frame says
// "ok":true and has the arguments as data and args, like an event. An object
// whose members would clash with those of the frame ("type", "id") is data too,
// and only its "ok" is repeated.
//
// It fails when args do not fit the attachments.
func AppendAck(dst []byte, id uint64, args wire.Args, attachments [][]byte) ([]byte, error) {
	if len(attachments) > 0 {
		text, err := inline(args.Join(), attachments)
		if err != nil {
			return dst, fmt.Errorf("ack as plain JSON: %w", err)
		}
		if args, err = wire.SplitArgs(text); err != nil {
			return dst, fmt.Errorf("ack as plain JSON: %w", err)
		}
	}
	dst = AppendAckHead(dst, id)
	ok, isFrame := result(args)
	if isFrame {
		dst = append(dst, ',')
		return append(dst, args[0][1:]...), nil // all behind its {
	}
	dst = strconv.AppendBool(append(dst, `,"ok":`...), ok)
	return append(appendArgs(dst, args), '}'), nil
}

// AppendAckHead appends the beginning of such a frame, up to the number.
func AppendAckHead(dst []byte, id uint64) []byte {
	return strconv.AppendUint(append(dst, `{"type":"ack","id":`...), id, 10)
}

// result is whether an ack says that its command succeeded, and whether its one
// argument holds the members of the frame.
func result(args wire.Args) (ok, isFrame bool) {
	if len(args) != 1 || len(args[0]) == 0 || args[0][0] != '{' {
		return true, false
	}
	var m map[string]json.RawMessage // a struct would take "OK" for "ok"
	if json.Unmarshal(args[0], &m) != nil {
		return true, false
	}
	said := string(m["ok"])
	if said != "true" && said != "false" {
		return true, false
	}
	_, hasType := m["type"]
	_, hasID := m["id"]
	return said == "true", !hasType && !hasID
}
