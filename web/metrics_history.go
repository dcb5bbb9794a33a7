package web

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshrt/meshrt/node"
)

// history tells what was asked for of the past of rooms, with -recovery.
func (c collector) history(e emitter) {
	if c.s.node.Recovery() == 0 {
		return
	}
	s := c.s.node.Stats().History
	e.counter("history_requests_total", "Histories of rooms that clients, the HTTP API and Go code asked this node for.", s.Answered, "result", "answered")
	e.counter("history_requests_total", "Histories of rooms that clients, the HTTP API and Go code asked this node for.", s.Refused, "result", "refused")
	e.counter("history_messages_total", "Messages in answered histories.", s.Messages)
	e.counter("history_incomplete_total", "Answered histories that lack what nodes have published that did not answer, or died with it.", s.Incomplete)
	e.counter("history_waited_total", "Histories that had to wait as their client asked for too many.", s.Waited)
	within := map[float64]uint64{}
	for i, limit := range node.HistoryBuckets {
		within[limit.Seconds()] = s.Within[i]
	}
	desc := prometheus.NewDesc("meshrt_history_seconds", "Time of answered histories.", nil, nil)
	e <- prometheus.MustNewConstHistogram(desc, s.Answered, s.Sum.Seconds(), within)
}
