package main

// The names of the servers.
const (
	nameMeshrt  = "meshrt"
	nameWSS     = "meshrt-wss"
	nameRedis   = "socketio-redis"
	nameStreams = "socketio-streams"
	nameNATS    = "nats"
	nameFloor   = "floor" // see floor_linux.go
	// nameSingle is one Socket.IO server without an adapter, for the test of this program.
	nameSingle = "socketio"
)
