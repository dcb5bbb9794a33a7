package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// column is a server in the main table.
type column struct{ name, title string }

var columns = []column{{nameMeshrt, "meshrt"}, {nameRedis, "Socket.IO, Redis"}, {nameStreams, "Socket.IO, Redis streams"}, {nameNATS, "NATS"}, {nameFloor, "floor"}}

// line is a row of a table: the medians of one metric.
type line struct{ title, measurement, metric string }

// server is the one of a line that has one only.
func (l line) server() string {
	if l.measurement == "wss" {
		return nameWSS
	}
	return nameMeshrt
}

// lines are the rows of the main table.
var lines = []line{
	{"fan-out, 1,000 clients, 60,000 deliveries/s: CPU us a delivery", "fanout", cpu},
	{"the same: p50 ms", "fanout", p50},
	{"the same: p99 ms", "fanout", p99},
	{"ramp, 1,000 clients: deliveries/s that hold, p99 < 250 ms", "ramp-1000", rate},
	{"p99 ms at half of that", "ramp-1000", halfP99},
	{"ramp, 3,000 clients: deliveries/s that hold", "ramp-3000", rate},
	{"p99 ms at half of that", "ramp-3000", halfP99},
	{"1,000 rooms of 10, 8,000 deliveries/s: CPU us a delivery", "rooms", cpu},
	{"the same: p99 ms", "rooms", p99},
	{"one hop, 200 messages/s: p50 ms", "hop", p50},
	{"the same: CPU us a message", "hop", cpu},
	{"one stream, as fast as it goes: messages/s", "stream", rate},
	{"10,000 idle clients: bytes (PSS) of each", "idle", memory},
	{"1,000 connects/s: CPU us of each", "connect", cpu},
	{"the same: p99 ms until joined", "connect", p99},
	{"fan-out of 1 KiB messages: p99 ms", "slow", p99},
	{"the same beside a client that does not read: p99 ms of the others", "slow", slowP99},
}

// alone are the rows of what is measured of meshrt only.
var alone = []line{
	{"fan-out over wss: CPU us a delivery", "wss", cpu},
	{"the same: p50 ms", "wss", p50},
	{"the same: p99 ms", "wss", p99},
	{"18,000 idle clients: bytes (PSS) of each", "idle-18000", memory},
	{"fan-out, 1 node: CPU us a delivery", "nodes-1", cpu},
	{"3 nodes", "nodes-3", cpu},
	{"10 nodes", "nodes-10", cpu},
	{"100 rooms of one: CPU us a message", "rooms-100", cpu},
	{"1,000 rooms", "rooms-1000", cpu},
	{"10,000 rooms", "rooms-10000", cpu},
	{"100,000 rooms", "rooms-100000", cpu},
}

// markdown is the page RESULTS.md.
func (r *Results) markdown() string {
	var b strings.Builder
	b.WriteString("# Results: meshrt beside its peers\n\n")
	fmt.Fprintf(&b, "Made by `make bench-peers` on %s; [DESIGN.md](DESIGN.md) tells how. Medians of %s of %g s; of the runs of a row each server had one in turn, started anew.\n\n", r.Date, r.runs(), r.Seconds)
	fmt.Fprintf(&b, "Machine: %s. Versions: %s.\n\n", r.Machine, r.versions())
	r.writeMain(&b)
	r.writeBars(&b)
	r.writeAlone(&b)
	r.writeErrors(&b)
	return b.String()
}

// runs is how many there are of each measurement and server.
func (r *Results) runs() string {
	least, most := 0, 0
	for _, x := range r.List {
		if n := len(x.Runs); n > 0 {
			if least == 0 {
				least = n
			}
			least, most = min(least, n), max(most, n)
		}
	}
	if least == most {
		return fmt.Sprintf("%d runs", most)
	}
	return fmt.Sprintf("%d to %d runs", least, most)
}

// String is a machine in one sentence.
func (m Machine) String() string {
	return fmt.Sprintf("%d cores (%s, %s), %.0f GiB, Linux %s, TCP %s", m.Cores, orUnknown(m.Processor), m.Arch, m.Memory, m.Kernel, orUnknown(m.TCP))
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func (r *Results) versions() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(r.Version)) {
		list = append(list, name+" "+r.Version[name])
	}
	return strings.Join(list, ", ")
}

// writeMain has a column for each server, and that of meshrt over the first peer.
func (r *Results) writeMain(b *strings.Builder) {
	b.WriteString("|")
	for _, c := range columns {
		b.WriteString(" | " + c.title)
	}
	b.WriteString(" | meshrt / " + columns[1].title + " |\n|---" + strings.Repeat("|---:", len(columns)+1) + "|\n")
	for _, l := range lines {
		if _, ok := r.median(l.measurement, nameMeshrt, l.metric); !ok {
			continue
		}
		b.WriteString("| " + l.title)
		for _, c := range columns {
			b.WriteString(" | " + r.cell(l, c.name))
		}
		b.WriteString(" | " + r.ratioOf(l) + " |\n")
	}
	b.WriteByte('\n')
}

// cell is a median with what the runs ranged over.
func (r *Results) cell(l line, server string) string {
	v, ok := r.median(l.measurement, server, l.metric)
	if !ok {
		return "–"
	}
	text := number(v)
	if n, _ := r.median(l.measurement, server, lost); n > 0 && l.metric != lost {
		text += fmt.Sprintf(" (%s lost)", number(n))
	}
	return text
}

func (r *Results) ratioOf(l line) string {
	ours, ok1 := r.median(l.measurement, nameMeshrt, l.metric)
	theirs, ok2 := r.median(l.measurement, nameRedis, l.metric)
	if !ok1 || !ok2 || ours <= 0 || theirs <= 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", ours/theirs)
}

// number has three digits or more, and "never" for a latency of what did not come.
func number(v float64) string {
	switch {
	case v < 0:
		return "never"
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return thousands(v)
}

// thousands is a whole number with commas.
func thousands(v float64) string {
	digits := fmt.Sprintf("%.0f", v)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func (r *Results) writeBars(b *strings.Builder) {
	b.WriteString("## What is promised\n\n| | bar | measured | holds |\n|---|---|---:|---|\n")
	for _, x := range bars {
		v, ok := x.value(r)
		if !ok {
			continue
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", x.title, x.text(), number(v), map[bool]string{true: "yes", false: "**no**"}[x.holds(v)])
	}
	b.WriteByte('\n')
}

func (r *Results) writeAlone(b *strings.Builder) {
	head := "## meshrt alone\n\n| | |\n|---|---:|\n"
	for _, l := range alone {
		if _, ok := r.median(l.measurement, l.server(), l.metric); ok {
			fmt.Fprintf(b, "%s| %s | %s |\n", head, l.title, r.cell(l, l.server()))
			head = ""
		}
	}
}

func (r *Results) writeErrors(b *strings.Builder) {
	head := "\n## Runs that failed\n\n"
	for _, x := range r.List {
		if len(x.Errors) > 0 {
			fmt.Fprintf(b, "%s- %s, %s: %d of %d, %.200s\n", head, x.Measurement, x.Server, len(x.Errors), len(x.Errors)+len(x.Runs), x.Errors[0])
			head = ""
		}
	}
}
