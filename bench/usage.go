package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc: USER_HZ, 100 a second on all of Linux.
const tick = time.Second / 100

// readCPU is the user and system time of a process, all its threads.
func readCPU(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("-pid %d: no such process, or no Linux: %w", pid, err)
	}
	cpu, err := parseStat(string(text))
	if err != nil {
		return 0, fmt.Errorf("-pid %d: CPU time: %w", pid, err)
	}
	return cpu, nil
}

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

// parseStat is utime and stime, fields 14 and 15 of proc_pid_stat(5). The second
// field is a name in parentheses and may hold blanks and parentheses.
func parseStat(text string) (time.Duration, error) {
	end := strings.LastIndexByte(text, ')')
	fields := strings.Fields(text[end+1:])
	if end < 0 || len(fields) < 13 {
		return 0, fmt.Errorf("/proc/PID/stat has %d fields behind the name", len(fields))
	}
	sum := time.Duration(0)
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 48)
		if err != nil {
			return 0, fmt.Errorf("/proc/PID/stat: %w", err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
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
