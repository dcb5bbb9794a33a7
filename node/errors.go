package node

import (
	"errors"
	"fmt"
)

// Code says what kind of failure an ack or an HTTP answer reports (CONTRACT §2).
type Code string

// The codes that clients see.
const (
	CodeForbidden   Code = "forbidden"
	CodeInvalid     Code = "invalid"
	CodeLimit       Code = "limit"
	CodeUnavailable Code = "unavailable"
)

// Error is a failure that the client is told of: Message is a sentence for
// people, Data goes to a Socket.IO client with its connect_error.
type Error struct {
	Code    Code
	Message string
	Data    any
	Err     error // what errors.Is finds, if anything
}

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.Err }

// Errorf is an Error with a formatted message.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// ErrNotNow is found in errors that are no answer of the application: the node
// stops, or others did not answer. The client should try again, elsewhere.
var ErrNotNow = errors.New("not now")

// ErrClosed reports a session, or a node, that has ended.
var ErrClosed = &Error{Code: CodeUnavailable, Message: "session is closed", Err: ErrNotNow}

// ErrNoSocket is found in the error of a Direct to a socket that is not there.
var ErrNoSocket = errors.New("no such socket")

// CodeOf is the code of an error; anything that is no Error is unavailable.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeUnavailable
}

// Result is the answer to a built-in verb and to a failed event: {"ok":true},
// or false with the error as a sentence and its code.
type Result struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	Code  Code   `json:"code,omitempty"`
}

// ResultOf is the Result that reports err, or success.
func ResultOf(err error) Result {
	if err == nil {
		return Result{OK: true}
	}
	return Result{Error: err.Error(), Code: CodeOf(err)}
}
