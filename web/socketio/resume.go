package socketio

import (
	"bytes"
	"encoding/json"

	"github.com/meshrt/meshrt/node"
)

// The official client tells with its CONNECT which session it had, {"pid","offset"} among
// what the application gives as auth: the secret of the last answer to a CONNECT, and the
// last argument of the last event of which that was a string.

// resumeOf is what auth says of an earlier session. Whatever is no such word makes a new
// session, as there: applications have fields of these names, too. Without an offset the client
// has got no event yet; there it is refused.
func resumeOf(auth json.RawMessage) (r node.Resume) {
	if !bytes.Contains(auth, []byte(`"pid"`)) { // most have none, and it may be long
		return r
	}
	var given map[string]json.RawMessage // a struct would take "PID" for "pid"
	var pid, offset *string
	if json.Unmarshal(auth, &given) != nil || json.Unmarshal(given["pid"], &pid) != nil || pid == nil {
		return r
	}
	// notepack writes undefined, which comes as null.
	if text, ok := given["offset"]; ok && json.Unmarshal(text, &offset) != nil {
		return r
	}
	r.PID = *pid
	if offset != nil {
		r.Cursor = *offset
	}
	return r
}

// recoverable are the ends after which a client may come back, in the official words; the
// list is the official server's. The others are on purpose, or would only come again.
var recoverable = map[string]bool{
	"transport error":      true,
	"transport close":      true,
	"forced close":         true,
	"ping timeout":         true,
	"server shutting down": true,
	"forced server close":  true,
}
