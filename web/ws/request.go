package ws

import (
	"errors"
	"net/http"
	"strings"
)

// IsUpgrade says that r asks for a websocket. What is wrong with such a request in
// detail, Accept tells.
func IsUpgrade(r *http.Request) bool {
	return hasToken(r.Header.Values("Connection"), "upgrade") && hasToken(r.Header.Values("Upgrade"), "websocket")
}

// hasToken looks for a token in a header whose values are lists.
func hasToken(values []string, token string) bool {
	for _, value := range values {
		for one := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(one), token) {
				return true
			}
		}
	}
	return false
}

// Forbidden is what a client is told that is refused without a Refusal.
const Forbidden = "Forbidden"

// Refusal is the error of a server's Accept that chooses its answer, such as 429
// for one client too many or 503 for one server too full.
type Refusal struct {
	Status  int    // of HTTP, 400 to 599
	Message string // for the client; Forbidden when empty
}

// Error is the message.
func (r *Refusal) Error() string {
	if r.Message == "" {
		return Forbidden
	}
	return r.Message
}

// RefusalOf is the answer to an error of Accept: a Refusal speaks for itself, and
// any other error may tell of our inside, so that it is 403 and Forbidden.
func RefusalOf(err error) (status int, message string) {
	var refusal *Refusal
	if errors.As(err, &refusal) && refusal.Status >= 400 && refusal.Status <= 599 {
		return refusal.Status, refusal.Error()
	}
	return http.StatusForbidden, Forbidden
}
