package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// readPSS is the memory of a process in bytes: its own and its part of what is
// shared. The kernel takes milliseconds for it, so it is not read while measuring.
func readPSS(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, fmt.Errorf("-pid %d: no such process, or no Linux: %w", pid, err)
	}
	pss, err := parseRollup(string(text))
	if err != nil {
		return 0, fmt.Errorf("-pid %d: memory: %w", pid, err)
	}
	return pss, nil
}

// parseRollup is the line Pss of smaps_rollup, proc_pid_smaps(5).
func parseRollup(text string) (bytes int64, err error) {
	for line := range strings.Lines(text) {
		value, ok := strings.CutPrefix(line, "Pss:")
		if !ok {
			continue
		}
		fields := strings.Fields(value)
		if len(fields) != 2 || fields[1] != "kB" {
			break
		}
		n, err := strconv.ParseInt(fields[0], 10, 48)
		return n << 10, err
	}
	return 0, fmt.Errorf("/proc/PID/smaps_rollup has no line Pss")
}
