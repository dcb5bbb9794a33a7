package web

import (
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/engineio"
	"github.com/meshrt/meshrt/wire"
)

// metrics serves the Prometheus text of a registry of our own. The packages
// below count by themselves; this is the only file that knows Prometheus.
func (s *Server) metrics() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collector{s})
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}

// collector reads the Stats of all packages when it is asked.
type collector struct{ s *Server }

// Describe sends nothing: the collector is unchecked, its metrics are below.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	e := emitter(out)
	c.build(e)
	c.clients(e)
	c.limits(e, c.s.node.Stats().RoomLimit)
	c.slow(e)
	c.forward(e)
	c.hub(e)
	c.keyed(e)
	c.recovery(e)
	c.history(e)
	c.mesh(e)
	c.peers(e)
	c.gossip(e)
}

// emitter sends one sample at a time; labels are name, value pairs.
type emitter chan<- prometheus.Metric

func (e emitter) send(kind prometheus.ValueType, name, help string, v float64, labels ...string) {
	var names, values []string
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	e <- prometheus.MustNewConstMetric(prometheus.NewDesc("meshrt_"+name, help, names, nil), kind, v, values...)
}

func (e emitter) counter(name, help string, v uint64, labels ...string) {
	e.send(prometheus.CounterValue, name, help, float64(v), labels...)
}

func (e emitter) gauge(name, help string, v int, labels ...string) {
	e.send(prometheus.GaugeValue, name, help, float64(v), labels...)
}

func (c collector) build(e emitter) {
	e.gauge("build_info", "Version of the program.", 1, "version", c.s.cfg.Version, "go", runtime.Version())
	ready, cut := c.s.node.Cluster().Ready()
	up := 0
	if ready && !c.s.draining.Load() {
		up = 1
	}
	e.gauge("ready", "1 while the node takes clients.", up)
	e.gauge("cluster_cut", "Members without a link.", len(cut))
}

func (c collector) clients(e emitter) {
	io := c.s.socketio.Stats()
	const open, closed = "connections", "connections_closed_total"
	for _, transport := range []string{engineio.Polling, engineio.WebSocket} {
		e.gauge(open, "Clients connected now.", io.Engine.Open[transport], "protocol", "socket.io", "transport", transport)
	}
	for reason, n := range io.Engine.Closed {
		e.counter(closed, "Connections that ended.", n, "protocol", "socket.io", "reason", reason.String())
	}
	for reason, n := range io.Engine.Refused {
		e.counter("requests_refused_total", "Requests of clients that were refused.", n, "protocol", "socket.io", "reason", reason)
	}
	e.counter("parse_errors_total", "Messages of clients that made no sense.", io.ParseErrors, "protocol", "socket.io")
	e.counter("packets_received_total", "Packets of clients.", io.Engine.PacketsIn, "protocol", "socket.io")
	e.counter("packets_sent_total", "Packets to clients.", io.Engine.PacketsOut, "protocol", "socket.io")
	e.counter("bytes_received_total", "Bytes of clients, without framing.", io.Engine.BytesIn, "protocol", "socket.io")
	e.counter("bytes_sent_total", "Bytes to clients, without framing.", io.Engine.BytesOut, "protocol", "socket.io")
	c.plain(e, open, closed)
}

func (c collector) forward(e emitter) {
	s := c.s.forward.Stats()
	const total, now = "forwarded_requests_total", "forwarded_requests"
	for result, n := range s.Out {
		e.counter(total, "Requests of sessions on other nodes.", n, "dir", "out", "result", result)
	}
	for result, n := range s.In {
		e.counter(total, "Requests of sessions on other nodes.", n, "dir", "in", "result", result)
	}
	e.gauge(now, "Requests of sessions on other nodes, now.", s.Passing, "dir", "out")
	e.gauge(now, "Requests of sessions on other nodes, now.", s.Serving, "dir", "in")
	e.gauge("forward_connections", "Connections to other nodes for requests; websockets have their own.", s.Conns)
}

func (c collector) hub(e emitter) {
	s := c.s.node.Stats()
	e.gauge("sessions", "Clients in namespaces now.", s.Sessions)
	counts, _ := c.s.node.SocketCounts()
	all := 0
	for _, count := range counts {
		all += count
	}
	e.gauge("cluster_sessions", "Clients in namespaces of all nodes, as these told last.", all)
	e.gauge("rooms", "Rooms with members on this node, namespaces included.", s.Rooms)
	e.gauge("inbox_items", "References that wait for delivery.", s.InboxItems)
	moved := "Clients in namespaces whose websocket came to another node than their polls, and that went there."
	e.counter("sessions_moved_total", moved, s.MovedIn, "dir", "in")
	e.counter("sessions_moved_total", moved, s.MovedOut, "dir", "out")
	e.counter("events_total", "Events of clients.", s.Events)
	e.counter("events_unhandled_total", "Events of clients that nobody handles.", s.Unhandled)
	e.counter("handler_panics_total", "Panics of handlers.", s.Panics)
	e.counter("acks_ignored_total", "Answers of clients that nobody waited for: late, twice, unasked.", s.AcksIgnored)
	e.counter("acks_refused_total", "Answers of clients given up for a limit.", s.AcksRefused)
	e.counter("server_events_dropped_total", "Server events of other nodes that came faster than their handlers are.", s.ServerDropped)
	c.presence(e, s)
	e.counter("messages_published_total", "Messages published on this node.", s.Published)
	e.counter("messages_received_total", "Messages of other nodes.", s.Received)
	e.counter("messages_useless_total", "Messages of other nodes that nobody here wanted any more.", s.Useless)
	e.counter("deliveries_total", "Messages given to a client's queue.", s.Delivered)
	e.counter("deliveries_dropped_total", "Messages that a client's queue did not take.", s.Refused)
}

func (c collector) mesh(e emitter) {
	s := c.s.node.Cluster().Stats()
	e.gauge("mesh_links", "Links to other nodes.", s.Links)
	e.gauge("mesh_queue_bytes", "Bytes that wait for other nodes.", s.QueueBytes)
	e.gauge("interest_topics", "Topics that this node has asked the others for.", s.Topics)
	e.gauge("joins_waiting", "Joins that are not in force in the cluster yet.", s.JoinsWait)
	e.counter("mesh_duplicates_total", "Messages that came twice and were dropped.", s.Duplicates)
	e.counter("mesh_refused_total", "Messages that a full link queue did not take.", s.Mesh.Refused)
	e.counter("mesh_resent_total", "Messages sent again after a link broke.", s.Resent)
	e.counter("mesh_leases_expired_total", "Times that the interest of a linked node could not be trusted any more.", s.Expired)
	for k := range wire.Stream(wire.Streams) {
		e.gauge("mesh_log_bytes", "Bytes of own messages that some node has not confirmed.", s.LogBytes[k], "priority", k.String())
		e.counter("mesh_lost_total", "Messages that left the log before a node had them.", s.Lost[k], "priority", k.String())
	}
	e.counter("mesh_gaps_total", "Times that a node told that messages of it are gone.", s.Gaps)
	e.counter("mesh_volatile_dropped_total", "Volatile messages that a node was not ready for.", s.Volatile)
	e.counter("mesh_links_up_total", "Links made.", s.Mesh.Up)
	e.counter("mesh_links_down_total", "Links lost or closed.", s.Mesh.Down)
	e.counter("mesh_bytes_total", "Bytes on links.", s.Mesh.BytesIn, "dir", "in")
	e.counter("mesh_bytes_total", "Bytes on links.", s.Mesh.BytesOut, "dir", "out")
	for k := range wire.Kinds {
		kind := wire.Kind(k).String()
		e.counter("mesh_frames_total", "Frames on links.", s.Mesh.FramesIn[k], "dir", "in", "type", kind)
		e.counter("mesh_frames_total", "Frames on links.", s.Mesh.FramesOut[k], "dir", "out", "type", kind)
	}
}

func (c collector) plain(e emitter, open, closed string) {
	s := c.s.plain.Stats()
	e.gauge(open, "Clients connected now.", s.Open, "protocol", "websocket", "transport", "websocket")
	for reason, n := range s.Closed {
		e.counter(closed, "Connections that ended.", n, "protocol", "websocket", "reason", reason)
	}
	for reason, n := range s.Refused {
		e.counter("requests_refused_total", "Requests of clients that were refused.", n, "protocol", "websocket", "reason", reason)
	}
	e.gauge(open, "Clients connected now.", s.Streams.Open, "protocol", "sse", "transport", "sse")
	for reason, n := range s.Streams.Closed {
		e.counter(closed, "Connections that ended.", n, "protocol", "sse", "reason", reason)
	}
	for reason, n := range s.Streams.Refused {
		e.counter("requests_refused_total", "Requests of clients that were refused.", n, "protocol", "sse", "reason", reason)
	}
	e.counter("packets_sent_total", "Packets to clients.", s.Streams.EventsOut, "protocol", "sse")
	e.counter("bytes_sent_total", "Bytes to clients, without framing.", s.Streams.BytesOut, "protocol", "sse")
	e.counter("parse_errors_total", "Messages of clients that made no sense.", s.Invalid, "protocol", "websocket")
	e.counter("packets_received_total", "Packets of clients.", s.MessagesIn, "protocol", "websocket")
	e.counter("packets_sent_total", "Packets to clients.", s.MessagesOut, "protocol", "websocket")
	e.counter("bytes_received_total", "Bytes of clients, without framing.", s.BytesIn, "protocol", "websocket")
	e.counter("bytes_sent_total", "Bytes to clients, without framing.", s.BytesOut, "protocol", "websocket")
}

// presence is who is in which room, as this node knows it.
func (c collector) presence(e emitter, s node.Stats) {
	p := s.Presence
	e.gauge("presence_rooms", "Rooms whose members this node follows, for clients or lists.", p.Rooms)
	e.gauge("presence_told_rooms", "Rooms whose members of this node other nodes follow.", p.Told)
	e.gauge("presence_members", "Members of the rooms that are followed.", p.Members)
	e.gauge("presence_watchers", "Clients that are told who comes and goes, once for each room.", s.Watchers)
	e.gauge("presence_bytes", "Memory of all entries, roughly.", p.Bytes)
	e.counter("presence_snapshots_total", "Sets of members told to another node as a whole.", p.Snapshots)
	e.counter("presence_deltas_total", "Changes of them told, together.", p.Deltas)
	e.counter("presence_repairs_total", "Sets of other nodes wanted anew as changes of them were missing.", p.Repairs)
	e.counter("presence_joined_total", "Members that came to rooms that are followed.", p.Joined)
	e.counter("presence_left_total", "Members that left them.", p.Left)
	e.counter("presence_returned_total", "Members that were back before their leaving was told.", p.Returned)
	e.counter("presence_refused_total", "Rooms not followed for a limit.", p.Refused)
	e.counter("presence_dropped_total", "Members, changes and frames given up for a limit, or malformed.", p.Dropped)
	e.counter("presence_lists_total", "Lists of members told whole: made for who asked, or shared with who asked before.", s.Lists.Made, "how", "made")
	e.counter("presence_lists_total", "Lists of members told whole: made for who asked, or shared with who asked before.", s.Lists.Shared, "how", "shared")
	e.gauge("presence_list_bytes", "Lists of members that are kept for who asks next, roughly.", s.Lists.Bytes)
}
