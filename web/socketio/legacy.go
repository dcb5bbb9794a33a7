package socketio

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/wire"
	"github.com/meshrt/meshrt/wire/sio"
)

// Clients of Socket.IO 1 and 2, which come on Engine.IO 3 with
// engineio.Config.AllowEIO3. They differ in how they connect: the server lets
// them into "/" unasked, other namespaces are asked for with a query behind their
// name, and errors are plain values.
//
// Such a client believes that its socket.id is its Engine.IO session id. The
// official server makes that true and so gives everyone a capability for the
// session; here the id that others see is another one, which is not secret.

func (c *conn) legacy() bool { return c.engine.Version() == 3 }

// openLegacy lets the client into the main namespace.
func (c *conn) openLegacy() {
	c.parser = parserText
	c.beginConnect("/", nil)
}

// modern is p as a client of today would write it: the query of a namespace is
// what it gives with its CONNECT.
func modern(p sio.Packet) sio.Packet {
	name, query, found := strings.Cut(p.Namespace, "?")
	p.Namespace = name
	if !found || p.Type != sio.Connect {
		return p
	}
	auth := map[string]string{}
	values, _ := url.ParseQuery(query) // what is well formed of it
	for key, all := range values {
		auth[key] = all[len(all)-1]
	}
	p.Data, _ = json.Marshal(auth) // strings always encode
	return p
}

// legacyErrorData is the data of an error, or its message.
func legacyErrorData(err error) []byte {
	var value any = err.Error()
	if e := (*node.Error)(nil); errors.As(err, &e) && e.Data != nil {
		value = e.Data
	}
	data, err := wire.MarshalJSON(value)
	if err != nil { // Data of the application that is no JSON
		return []byte(`"internal error"`)
	}
	return data
}
