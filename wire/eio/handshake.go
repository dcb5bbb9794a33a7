package eio

import "encoding/json"

// Handshake is the JSON of the open packet, section "Handshake": these five
// members and no other.
type Handshake struct {
	SID          string   `json:"sid"`          // names the session; whoever knows it may use it
	Upgrades     []string `json:"upgrades"`     // transports that the client may move to; nil is written []
	PingInterval int      `json:"pingInterval"` // milliseconds
	PingTimeout  int      `json:"pingTimeout"`  // milliseconds
	MaxPayload   int      `json:"maxPayload"`   // bytes of one message or body of the client
}

// Packet is the open packet that carries h.
func (h Handshake) Packet() Packet {
	if h.Upgrades == nil {
		h.Upgrades = []string{}
	}
	data, err := json.Marshal(h)
	if err != nil {
		panic("eio: " + err.Error()) // strings and integers always encode
	}
	return Packet{Type: Open, Data: data}
}
