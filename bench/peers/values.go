package main

import (
	"slices"
	"time"
)

// The metrics of a run.
const (
	cpu       = "cpu_us"           // of all processes of a server, for each delivery or connection
	p50       = "p50_ms"           // latency from when a message was due
	p99       = "p99_ms"           // the same; -1: never
	rate      = "deliveries_per_s" // in a ramp the highest that held
	lost      = "lost"             // deliveries, and doubled, out of order or damaged ones
	memory    = "pss_bytes"        // of all processes, for each connection
	halfP99   = "half_p99_ms"      // at half of the rate that held
	slowP99   = "slow_p99_ms"      // of the others, beside clients that do not read
	generator = "generator_cpu_us"
)

// values are the metrics of one run.
type values map[string]float64

// Result is what the runs of one measurement against one server came to.
type Result struct {
	Measurement string   `json:"measurement"`
	Server      string   `json:"server"`
	Runs        []values `json:"runs"`
	Errors      []string `json:"errors,omitempty"` // of runs that could not be made
}

// Results is what a run of this program came to.
type Results struct {
	Date    string            `json:"date"`
	Machine Machine           `json:"machine"`
	Version map[string]string `json:"versions"`
	Seconds float64           `json:"measured_s"` // of each run
	List    []*Result         `json:"results"`
}

// of is the result of a measurement and a server, made if it is missing.
func (r *Results) of(measurement, server string) *Result {
	for _, x := range r.List {
		if x.Measurement == measurement && x.Server == server {
			return x
		}
	}
	x := &Result{Measurement: measurement, Server: server}
	r.List = append(r.List, x)
	return x
}

// median is that of a metric over the runs that have it; ok tells whether one has.
func (r *Results) median(measurement, server, metric string) (v float64, ok bool) {
	var list []float64
	for _, x := range r.List {
		if x.Measurement != measurement || x.Server != server {
			continue
		}
		for _, run := range x.Runs {
			if v, ok := run[metric]; ok {
				list = append(list, v)
			}
		}
	}
	return median(list)
}

// median of a list; of an even number of values it is between the middle two.
func median(list []float64) (v float64, ok bool) {
	n := len(list)
	if n == 0 {
		return 0, false
	}
	list = slices.Sorted(slices.Values(list))
	return (list[(n-1)/2] + list[n/2]) / 2, true
}

// replace takes the measurements of newer in place of those that r has.
func (r *Results) replace(newer *Results) {
	for _, x := range newer.List {
		*r.of(x.Measurement, x.Server) = *x
	}
	r.Date, r.Machine, r.Seconds = newer.Date, newer.Machine, newer.Seconds
	for name, v := range newer.Version {
		r.Version[name] = v
	}
}

// today is the date of results.
func today(now time.Time) string { return now.UTC().Format(time.DateOnly) }
