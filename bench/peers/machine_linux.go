package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// machine is the one that this program runs on.
func machine() Machine {
	m := Machine{Cores: runtime.NumCPU(), Arch: runtime.GOARCH}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = kernelVersion(unix.ByteSliceToString(u.Release[:]))
	}
	var i unix.Sysinfo_t
	if unix.Sysinfo(&i) == nil {
		m.Memory = float64(i.Totalram) * float64(i.Unit) / (1 << 30)
	}
	if text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control"); err == nil {
		m.TCP = strings.TrimSpace(string(text))
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.Processor = processor(string(text))
	}
	return m
}

// versions are those of what was measured, and with what.
func versions(ctx context.Context, s *site) map[string]string {
	v := map[string]string{"Go": strings.TrimPrefix(runtime.Version(), "go")}
	number := regexp.MustCompile(`[0-9]+\.[0-9]+\.[0-9]+`)
	for _, x := range []struct {
		name, program string
		args          []string
	}{{"Node.js", "node", []string{"--version"}}, {"Redis", "redis-server", []string{"--version"}}, {"NATS", s.nats, []string{"--version"}}} {
		if out, err := s.output(ctx, x.program, x.args...); err == nil {
			v[x.name] = number.FindString(out)
		}
	}
	for title, name := range map[string]string{"socket.io": "socket.io", "redis-adapter": "@socket.io/redis-adapter",
		"redis-streams-adapter": "@socket.io/redis-streams-adapter", "redis (npm)": "redis", "ws": "ws"} {
		if text, err := os.ReadFile(filepath.Join(s.here, "node_modules", name, "package.json")); err == nil {
			v[title] = packageVersion(text)
		}
	}
	if out, err := s.output(ctx, "git", "-C", s.root, "rev-parse", "--short=12", "HEAD"); err == nil {
		v["meshrt"] = out
	}
	return v
}
