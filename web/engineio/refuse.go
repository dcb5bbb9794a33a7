package engineio

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/meshrt/meshrt/web/ws"
)

// Refusal is the error of Config.Accept that chooses its answer, such as 429 for
// one client too many or 503 for one server too full.
type Refusal = ws.Refusal

// errorCode is the code in the body of a refused request, as clients of the
// official server know it.
type errorCode int

const (
	codeUnknownTransport errorCode = iota
	codeUnknownSID
	codeBadMethod
	codeBadRequest
	codeForbidden
	codeUnsupportedVersion
	codeEnd // counts them
)

// String is the message of the official server.
func (c errorCode) String() string {
	return [codeEnd]string{
		"Transport unknown", "Session ID unknown", "Bad handshake method",
		"Bad request", ws.Forbidden, "Unsupported protocol version",
	}[c]
}

// Error makes a code the reason why a request is refused.
func (c errorCode) Error() string { return c.String() }

// errShutdown answers what comes while Run ends and after.
var errShutdown = &Refusal{Status: http.StatusServiceUnavailable, Message: "Server shutting down"}

// Errors that are a bad request with a status of its own.
var (
	errTooBig = errors.New("payload too large")
	errPanic  = errors.New("internal error")
)

var answers = map[error]struct {
	status  int
	message string
}{
	errTooBig: {http.StatusRequestEntityTooLarge, "Payload too large"},
	errPanic:  {http.StatusInternalServerError, "Internal error"},
}

// refuse answers a request with an error, on either transport: a websocket client
// sees a handshake that failed. The official server does the same, with a body of
// text there.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	status, code, message := refusalOf(err)
	s.counters.refused[code].Add(1)
	body, err := json.Marshal(struct {
		Code    errorCode `json:"code"`
		Message string    `json:"message"`
	}{code, message})
	if err != nil {
		panic("engineio: " + err.Error()) // an integer and a string always encode
	}
	// Of a body that we have not read, net/http reads on before it answers.
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(ws.CloseTimeout))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body) // a client that is gone needs no answer
}

// refusalOf is the one map from errors to answers.
func refusalOf(err error) (status int, code errorCode, message string) {
	if errors.As(err, &code) && code != codeForbidden {
		return http.StatusBadRequest, code, code.String()
	}
	if a, ok := answers[err]; ok {
		return a.status, codeBadRequest, a.message
	}
	status, message = ws.RefusalOf(err)
	return status, codeForbidden, message
}
