package main

import (
	"encoding/json"
	"regexp"
	"strings"
)

// Machine is where results are from, without anything that names it.
type Machine struct {
	Cores     int     `json:"cores"`
	Processor string  `json:"processor,omitempty"`
	Arch      string  `json:"arch"`
	Memory    float64 `json:"memory_gib"`
	Kernel    string  `json:"kernel"`
	TCP       string  `json:"tcp_congestion_control,omitempty"`
}

var release = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*`)

// kernelVersion is the number of a kernel's release: what follows is of who built it.
func kernelVersion(text string) string { return release.FindString(text) }

// processor is the model in the text of /proc/cpuinfo, "" for none.
func processor(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// packageVersion is that of a package.json, "" for none.
func packageVersion(text []byte) string {
	var p struct{ Version string }
	_ = json.Unmarshal(text, &p) // without one, it has no version
	return p.Version
}
