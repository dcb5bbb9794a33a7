package bench

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Report is what a run came to. Its JSON names are stable: new ones may come.
type Report struct {
	Scenario   string   `json:"scenario"`
	Protocol   string   `json:"protocol"`
	URLs       []string `json:"urls"`
	Clients    int      `json:"clients"` // that get messages, all rooms
	Rooms      int      `json:"rooms"`
	Publishers int      `json:"publishers"`
	Rate       float64  `json:"rate"` // as asked, 0: as fast as it goes
	Size       int      `json:"size_bytes"`
	Duration   float64  `json:"duration_s"` // that was measured, in ramp of the last step

	Joined       int64   `json:"joined"` // publishers too
	Failed       int64   `json:"failed"`
	Disconnected int64   `json:"disconnected"`       // after they joined
	JoinSeconds  float64 `json:"join_s"`             // for all
	Slow         int     `json:"slow,omitempty"`     // clients that read nothing
	SlowCut      int64   `json:"slow_cut,omitempty"` // of those, disconnected
	FirstError   string  `json:"first_error,omitempty"`

	Messages     *Messages `json:"messages,omitempty"`
	PerSecond    float64   `json:"deliveries_per_s"` // while it was measured, as the next ones
	Latency      *Latency  `json:"latency_ms,omitempty"`
	TimeToJoined *Latency  `json:"time_to_joined_ms,omitempty"`
	SendLag      *Latency  `json:"send_lag_ms,omitempty"` // from due to written, of the whole run

	Servers   []Server `json:"servers,omitempty"`
	ServerCPU float64  `json:"server_cpu_us_per_delivery"` // all servers
	// In connect: all servers, of the whole storm.
	ServerCPUConnection float64 `json:"server_cpu_us_per_connection,omitempty"`
	// Of all servers: the growth since before the first connection, over the connections.
	BytesPerConnection float64   `json:"server_bytes_per_connection"`
	Generator          Generator `json:"generator"`

	Steps    []Step  `json:"steps,omitempty"`
	HeldRate float64 `json:"held_rate"` // ramp: the highest that held, messages/s

	Warnings []string `json:"warnings,omitempty"`
}

// Messages counts those of the whole run, warm-up too. Lost is exact: what each
// client did not get of what was sent to its room.
type Messages struct {
	Sent       int64 `json:"sent"`
	Expected   int64 `json:"expected"`  // deliveries
	Delivered  int64 `json:"delivered"` // different ones
	Lost       int64 `json:"lost"`
	Doubled    int64 `json:"doubled"`
	OutOfOrder int64 `json:"out_of_order"` // came after one that its publisher sent later
	Stray      int64 `json:"stray"`        // of a room that the client is not in
	Damaged    int64 `json:"damaged"`
}

// Latency is in milliseconds. A value of -1 says that the message or connection at
// this quantile never came.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Server is one process of -pid.
type Server struct {
	PID       int     `json:"pid"`
	CPU       float64 `json:"cpu_s"` // while it was measured
	PSS       int64   `json:"pss_bytes"`
	PSSBefore int64   `json:"pss_before_bytes"` // before the first connection
}

// Generator is this process.
type Generator struct {
	CPU         float64 `json:"cpu_s"`
	PerDelivery float64 `json:"cpu_us_per_delivery"`
	Busy        float64 `json:"busy"` // share of the time that the busiest loop did not wait
}

// Step is one rate of a ramp.
type Step struct {
	Rate             float64 `json:"rate"`
	Held             bool    `json:"held"`
	PerSecond        float64 `json:"deliveries_per_s"`
	Missing          int64   `json:"missing"` // of its deliveries, a second behind the limit
	Latency          Latency `json:"latency_ms"`
	ServerCPU        float64 `json:"server_cpu_us_per_delivery"`
	GeneratorCPU     float64 `json:"generator_cpu_us_per_delivery"`
	Busy             float64 `json:"generator_busy"`
	SendLag          float64 `json:"send_lag_p99_ms"`
	GeneratorLimited bool    `json:"generator_limited"` // it may be this process that did not hold
}

func newReport(c Config) *Report {
	r := &Report{Scenario: c.Scenario, Protocol: c.Protocol, URLs: c.URLs, Clients: newPlan(c).subscribers(), Rooms: c.Rooms,
		Publishers: c.Publishers, Slow: c.Slow, Rate: c.Rate, Size: c.Size}
	if c.Unlimited {
		r.Rate = 0
	}
	return r
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// latencyOf has missing as values that never came.
func latencyOf(c Counts, missing uint64) *Latency {
	at := func(q float64) float64 {
		if d, ok := c.Quantile(q, missing); ok {
			return milliseconds(d)
		}
		return -1
	}
	l := &Latency{P50: at(0.5), P90: at(0.9), P99: at(0.99), P999: at(0.999), Max: milliseconds(c.Max)}
	if missing > 0 {
		l.Max = -1
	}
	return l
}

// used is what was used from one sample to the next.
func (r *Report) used(c Config, before, after sample) {
	wall, deliveries := seconds(after.at-before.at), float64(after.delivered-before.delivered)
	r.Duration, r.PerSecond = wall, deliveries/wall
	r.Generator = Generator{CPU: (after.self - before.self).Seconds(), Busy: (after.busy - before.busy).Seconds() / wall}
	r.Servers = nil
	total := time.Duration(0)
	for i, pid := range c.PIDs {
		cpu := after.servers[i] - before.servers[i]
		total += cpu
		r.Servers = append(r.Servers, Server{PID: pid, CPU: cpu.Seconds()})
	}
	if deliveries > 0 {
		r.Generator.PerDelivery = 1e6 * r.Generator.CPU / deliveries
		r.ServerCPU = 1e6 * total.Seconds() / deliveries
	}
	if c.Scenario == Connect {
		r.ServerCPUConnection = 1e6 * total.Seconds() / float64(c.Clients)
	}
}

// memory is that of the servers before the first connection and at the end.
func (r *Report) memory(before, after []int64, conns int) {
	growth := int64(0)
	for i := range r.Servers {
		r.Servers[i].PSSBefore, r.Servers[i].PSS = before[i], after[i]
		growth += after[i] - before[i]
	}
	if conns > 0 {
		r.BytesPerConnection = float64(growth) / float64(conns)
	}
}

const (
	// tooBusy is the share of time over which a loop is likely to add to latency.
	tooBusy = 0.7
	// tooLate is the send lag over which the load was not what was asked, in milliseconds.
	tooLate = 5
)

// warn says when the generator may be what was measured.
func (r *Report) warn(c Config) {
	if r.Generator.Busy > tooBusy {
		r.Warnings = append(r.Warnings, fmt.Sprintf("a loop of the generator was busy for %.0f %% of the time: part of the latency is its own; take more -loops, or a bigger machine", 100*r.Generator.Busy))
	}
	if r.SendLag != nil && r.SendLag.P99 > tooLate {
		r.Warnings = append(r.Warnings, fmt.Sprintf("messages were sent %.1f ms late (p99): the machine was too busy to send on time, which latency includes", r.SendLag.P99))
	}
	if r.Disconnected > 0 && (c.Scenario == Idle || c.Scenario == Connect) {
		r.Warnings = append(r.Warnings, "clients were disconnected: what is told of each connection is too low")
	}
}

// Faults is what a server may not do: nil when it did none of that. In a ramp, the
// rates that did not hold may lose messages.
func (r *Report) Faults() error {
	var list []string
	add := func(n int64, what string) {
		if n > 0 {
			list = append(list, fmt.Sprintf("%d %s", n, what))
		}
	}
	overloaded := r.Scenario == Ramp && r.HeldRate > 0
	if m := r.Messages; m != nil {
		if !overloaded {
			add(m.Lost, "messages lost")
		}
		add(m.Doubled, "doubled")
		add(m.OutOfOrder, "out of order")
		add(m.Stray, "stray")
		add(m.Damaged, "damaged")
	}
	add(r.Failed, "clients not joined")
	if !overloaded {
		add(r.Disconnected, "clients disconnected")
	}
	if r.Scenario == Ramp && r.HeldRate == 0 {
		list = append(list, "the first rate did not hold")
	}
	if len(list) == 0 {
		return nil
	}
	return errors.New(strings.Join(list, ", "))
}
