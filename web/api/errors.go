package api

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/meshrt/meshrt/node"
)

// statuses is the one place where codes become HTTP statuses.
var statuses = map[node.Code]int{
	node.CodeInvalid:     http.StatusBadRequest,
	node.CodeForbidden:   http.StatusForbidden,
	node.CodeLimit:       http.StatusRequestEntityTooLarge,
	node.CodeUnavailable: http.StatusServiceUnavailable,
}

func fail(w http.ResponseWriter, err error) {
	code := node.CodeOf(err)
	status, message := statuses[code], err.Error()
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		status, code, message = http.StatusRequestEntityTooLarge, node.CodeLimit, fmt.Sprintf("body is larger than %d bytes", tooBig.Limit)
	case errors.Is(err, node.ErrNoSocket):
		status = http.StatusNotFound
	}
	writeError(w, status, code, message)
}

func writeError(w http.ResponseWriter, status int, code node.Code, message string) {
	type body struct {
		Code    node.Code `json:"code"`
		Message string    `json:"message"`
	}
	writeJSON(w, status, map[string]body{"error": {code, message}})
}
