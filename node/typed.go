package node

import (
	"encoding/json"
)

// None is the answer of a typed handler that has nothing to say: clients get
// {"ok":true}. As an argument it stands for whatever comes, or nothing.
type None struct{}

// Handle sets the handler of an event with one argument, decoded into T, and an
// answer of R, for which an ack is encoded if the client wants one. What cannot
// be decoded never reaches h: it is answered {"ok":false,"code":"invalid"}. An
// error of h is answered in the same form, with its code, see ResultOf. Further
// arguments are ignored.
//
// A T of json.RawMessage is the argument as it came and costs nothing; one of
// []byte is a binary attachment; None takes anything.
func Handle[T, R any](ns *Namespace, event string, h func(s *Session, arg T) (R, error)) {
	ns.On(event, func(e *Event) {
		var arg T
		if err := e.Arg(0, &arg); err != nil {
			e.Ack(ResultOf(err))
			return
		}
		answer, err := h(e.Session, arg)
		e.answer(answer, err)
	})
}

// Handle2 is Handle for events with two arguments.
func Handle2[A, B, R any](ns *Namespace, event string, h func(s *Session, a A, b B) (R, error)) {
	ns.On(event, func(e *Event) {
		var a A
		var b B
		err := e.Arg(0, &a)
		if err == nil {
			err = e.Arg(1, &b)
		}
		if err != nil {
			e.Ack(ResultOf(err))
			return
		}
		answer, err := h(e.Session, a, b)
		e.answer(answer, err)
	})
}

// answer acks with what a typed handler returned.
func (e *Event) answer(v any, err error) {
	if err == nil && e.HasAck {
		if _, none := v.(None); none {
			v = ResultOf(nil)
		}
		if err = e.Ack(v); err != nil { // the application's fault, not its client's
			e.Session.node.log.Error("answer of a handler cannot be sent", "event", e.Name, "session", e.Session.ID(), "err", err)
			err = Errorf(CodeUnavailable, "internal error")
		}
	}
	if err != nil {
		e.Ack(ResultOf(err))
	}
}

// decodeArg decodes argument i into v. What needs no decoding is not decoded.
func decodeArg(what string, args []json.RawMessage, attachments [][]byte, i int, v any) error {
	if _, none := v.(*None); none {
		return nil
	}
	if i < 0 || i >= len(args) {
		return Errorf(CodeInvalid, "%.60s has %d arguments, want %d", what, len(args), i+1)
	}
	switch v := v.(type) {
	case *json.RawMessage:
		*v = args[i]
		return nil
	case *[]byte:
		if b, ok := attachment(args[i], attachments); ok {
			*v = b
			return nil
		}
	}
	if err := json.Unmarshal(args[i], v); err != nil {
		return Errorf(CodeInvalid, "argument %d of %.60s: %v", i+1, what, err)
	}
	return nil
}

// attachment is the one for which arg is a placeholder.
func attachment(arg json.RawMessage, attachments [][]byte) ([]byte, bool) {
	var p struct {
		Placeholder bool `json:"_placeholder"`
		Num         *int `json:"num"`
	}
	if len(attachments) == 0 || json.Unmarshal(arg, &p) != nil || !p.Placeholder || p.Num == nil || *p.Num < 0 || *p.Num >= len(attachments) {
		return nil, false
	}
	return attachments[*p.Num], true
}
