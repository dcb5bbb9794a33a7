package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		list []float64
		want float64
		ok   bool
	}{{nil, 0, false}, {[]float64{3}, 3, true}, {[]float64{9, 1, 5}, 5, true}, {[]float64{8, 2, 4, 6}, 5, true}, {[]float64{-1, 7, 8}, 7, true}} {
		given := append([]float64(nil), tt.list...)
		if got, ok := median(given); got != tt.want || ok != tt.ok {
			t.Errorf("median(%v) = %v, %v, want %v, %v", tt.list, got, ok, tt.want, tt.ok)
		}
		if len(given) > 0 && given[0] != tt.list[0] {
			t.Errorf("median sorted its argument: %v", given)
		}
	}
}

// some are results of one measurement: CPU, then p99, of each run.
func some(measurement string, cpus map[string][]float64) *Results {
	r := &Results{Date: "2026-01-02", Version: map[string]string{"Go": "1.26"}, Seconds: 6}
	for server, list := range cpus {
		for _, v := range list {
			x := r.of(measurement, server)
			x.Runs = append(x.Runs, values{cpu: v, p99: v * 2})
		}
	}
	return r
}

func TestBars(t *testing.T) {
	r := some("fanout", map[string][]float64{nameMeshrt: {6, 4, 5}, nameRedis: {10, 12, 9}, nameFloor: {4}})
	for _, tt := range []struct {
		bar   bar
		value float64
		known bool
		holds bool
		text  string
	}{
		{ratio("", "fanout", cpu, nameRedis, 0.5), 0.5, true, true, "≤ 0.5×"},
		{ratio("", "fanout", cpu, nameFloor, 1.24), 1.25, true, false, "≤ 1.24×"},
		{ratio("", "fanout", cpu, nameRedis, 0.6).least(), 0.5, true, false, "≥ 0.6×"},
		{atMost("", "fanout", p99, 10), 10, true, true, "≤ 10"},
		{atMost("", "fanout", p99, 1000).least(), 10, true, false, "≥ 1,000"},
		{ratio("", "fanout", cpu, nameNATS, 1), 0, false, true, "≤ 1×"},
		{atMost("", "rooms", cpu, 10), 0, false, true, "≤ 10"},
	} {
		v, known := tt.bar.value(r)
		if v != tt.value || known != tt.known || tt.bar.holds(v) != tt.holds || tt.bar.text() != tt.text {
			t.Errorf("%+v: %v, %v, %v, %q, want %v, %v, %v, %q", tt.bar, v, known, tt.bar.holds(v), tt.bar.text(), tt.value, tt.known, tt.holds, tt.text)
		}
	}
}

// TestNeverHoldsNoBar: a latency of messages that did not come is the worst, not the best.
func TestNeverHoldsNoBar(t *testing.T) {
	r := some("fanout", map[string][]float64{nameMeshrt: {-1}, nameRedis: {10}})
	b := atMost("", "fanout", p99, 25)
	if v, _ := b.value(r); b.holds(v) {
		t.Errorf("%v holds", v)
	}
	if v, ok := ratio("", "fanout", p99, nameRedis, 1).value(r); ok {
		t.Errorf("a ratio of never: %v", v)
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{-1: "never", 0: "0.00", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234: "1,234", 1234567: "1,234,567"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestPage(t *testing.T) {
	r := some("fanout", map[string][]float64{nameMeshrt: {5}, nameRedis: {20}})
	r.of("fanout", nameMeshrt).Runs[0][lost] = 7
	failed := r.of("fanout", nameStreams)
	failed.Errors = append(failed.Errors, "it fell over")
	page := r.markdown()
	for _, want := range []string{"| 5.00 (7.00 lost) | 20.0 | – |", "| 0.25 |", "| ≤ 0.5× | 0.25 | yes |", "- fanout, socketio-streams: 1 of 1, it fell over", "2026-01-02", "Go 1.26", "Medians of 1 runs of 6 s"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if strings.Contains(page, "ramp") {
		t.Errorf("rows of what was not measured:\n%s", page)
	}
}

// TestNewerResultsReplace: a run of some measurements leaves the others as they were.
func TestNewerResultsReplace(t *testing.T) {
	old := some("fanout", map[string][]float64{nameMeshrt: {5}, nameRedis: {20}})
	old.replace(some("fanout", map[string][]float64{nameMeshrt: {6}}))
	old.replace(some("rooms", map[string][]float64{nameMeshrt: {1}}))
	for _, tt := range []struct {
		measurement, server string
		want                float64
	}{{"fanout", nameMeshrt, 6}, {"fanout", nameRedis, 20}, {"rooms", nameMeshrt, 1}} {
		if v, _ := old.median(tt.measurement, tt.server, cpu); v != tt.want {
			t.Errorf("%s of %s: %v, want %v", tt.measurement, tt.server, v, tt.want)
		}
	}
	text, err := json.Marshal(old)
	if err != nil {
		t.Fatal(err)
	}
	var again Results
	if err := json.Unmarshal(text, &again); err != nil || again.markdown() != old.markdown() {
		t.Errorf("JSON does not keep results: %v\n%s", err, text)
	}
}

func TestMachineNamesNobody(t *testing.T) {
	for text, want := range map[string]string{"6.1.0-18-amd64": "6.1.0", "6.18.44-host-v1": "6.18.44", "x": ""} {
		if got := kernelVersion(text); got != want {
			t.Errorf("kernelVersion(%q) = %q, want %q", text, got, want)
		}
	}
	if got := processor("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n"); got != "Some CPU @ 2 GHz" {
		t.Errorf("processor: %q", got)
	}
	if got := packageVersion([]byte(`{"name":"x","version":"1.2.3"}`)); got != "1.2.3" {
		t.Errorf("packageVersion: %q", got)
	}
}

// TestPageTellsHowManyRuns, also when some have more.
func TestPageTellsHowManyRuns(t *testing.T) {
	r := some("fanout", map[string][]float64{nameMeshrt: {5, 6, 7}, nameRedis: {20, 2, 2}})
	for _, want := range []string{"3 runs", "1 to 3 runs"} {
		if got := r.runs(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		r.of("rooms", nameMeshrt).Runs = []values{{cpu: 1}}
		r.of("rooms", nameRedis).Errors = []string{"none"}
	}
}
