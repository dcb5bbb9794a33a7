// Package plain is the JSON that plain WebSocket clients and the server say to
// each other, and the form of it for Server-Sent Events. It is pure: no I/O, no
// clock, no session.
//
// One JSON object fills one text frame. The server speaks first:
//
//	server  {"type":"welcome","id":SID,"node":NAME,"session":PID?,"recovered":BOOL?}
//	client  {"type":"join","id":1,"room":R}     also leave, presence
//	        {"type":"publish","id":2,"room":R,"event":E,"data":D}
//	        {"type":"publish","id":2,"room":R,"event":E,"priority":P}     also broadcast, direct
//	        {"type":"broadcast","id":3,"event":E,"args":[D,...]}     also emit
//	        {"type":"direct","id":4,"to":SID,"event":E}
//	        {"type":"ack","id":N,"args":[D,...]}     for an event with "ack":N
//	server  {"type":"ack","id":1,"ok":true}
//	        {"type":"ack","id":2,"ok":false,"error":TEXT,"code":CODE}
//	        {"type":"error","error":TEXT,"code":CODE}     for a command without id
//	        {"type":"event","room":R?,"event":E,"data":D?,"args":[D,...]?,"from":SID?,"cursor":C?,"ack":N?}
//
// A client gives one argument as data or any number as args. The server always
// gives the first as data, and all as args too when there are several. Binary
// values appear as {"$binary":"base64"}. A reader of Server-Sent Events gets the
// same event object as the data of an SSE event.
//
// The arguments of an event are text of its publisher and pass unchanged: they
// are not decoded, compacted or escaped again. Whoever takes them in from
// outside makes sure that they are valid JSON and valid UTF-8; DecodeCommand
// does for what comes through it.
//
// Reading order: command.go (client to server), answer.go, event.go and sse.go
// (server to client), text.go (how strings are written).
package plain
