package web

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshrt/meshrt/cluster"
)

// peers tells how this node stands with each linked peer. The label is the operator's name
// of a node, so a restart makes no new series.
func (c collector) peers(e emitter) {
	trusted := map[bool]int{}
	all := c.s.node.Cluster().Peers()
	for _, p := range all {
		trusted[p.Trusted]++
	}
	for _, p := range byName(all) {
		e.gauge("mesh_link_queue_bytes", "Bytes that wait on the link to a node.", p.QueueBytes, "peer", p.Name)
		e.gauge("mesh_interest_lag_versions", "Versions of the interest of this node that a node has not acknowledged.", int(p.Lag), "peer", p.Name)
		e.send(prometheus.GaugeValue, "mesh_interest_lag_seconds", "For how long a node has not acknowledged the interest of this node.", p.Behind.Seconds(), "peer", p.Name)
	}
	const name, help = "mesh_peers", "Linked nodes, by whether their interest may be trusted now; messages for the others wait."
	e.gauge(name, help, trusted[true], "lease", "trusted")
	e.gauge(name, help, trusted[false], "lease", "untrusted")
	e.detection(c.s.node.Cluster().Stats().Detection)
}

// byName makes one of those of one name, which are next to each other: a node that was
// started again and its earlier run. A sample that comes twice would fail the whole page.
func byName(ps []cluster.PeerStats) []cluster.PeerStats {
	var one []cluster.PeerStats
	for _, p := range ps {
		last := len(one) - 1
		if last < 0 || one[last].Name != p.Name {
			one = append(one, p)
			continue
		}
		one[last].QueueBytes += p.QueueBytes
		one[last].Lag, one[last].Behind = max(one[last].Lag, p.Lag), max(one[last].Behind, p.Behind)
	}
	return one
}

func (e emitter) detection(d cluster.Detection) {
	within := map[float64]uint64{}
	for i, limit := range cluster.DetectionBuckets {
		within[limit.Seconds()] = d.Within[i]
	}
	desc := prometheus.NewDesc("meshrt_detection_seconds", "From the last sign of life of a node to its being down here; without those that said goodbye.", nil, nil)
	e <- prometheus.MustNewConstHistogram(desc, d.Count, d.Sum.Seconds(), within)
}

func (c collector) gossip(e emitter) {
	s := c.s.node.Cluster().Stats().Gossip
	e.gauge("gossip_members", "Other live members of the cluster.", s.Members)
	e.gauge("gossip_health", "0 is healthy; up to 8 when this node is too slow or too cut off to judge others.", s.Health)
	e.counter("gossip_joins_total", "Attempts to join an address.", s.Joins-min(s.JoinErrors, s.Joins), "result", "ok")
	e.counter("gossip_joins_total", "Attempts to join an address.", s.JoinErrors, "result", "error")
	e.counter("gossip_packets_total", "UDP packets of gossip. Change the secret before 2^32 in the whole cluster.", s.PacketsOut, "dir", "out")
	e.counter("gossip_packets_total", "UDP packets of gossip. Change the secret before 2^32 in the whole cluster.", s.PacketsIn, "dir", "in")
	e.counter("gossip_packets_refused_total", "Packets of another cluster or secret, or damaged.", s.PacketsRefused)
	e.counter("gossip_members_refused_total", "What was said about members and not believed.", s.Refused)
	e.counter("peers_file_errors_total", "Writes of -peers-file that failed.", s.PeersFileErrors)
}
