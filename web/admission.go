package web

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"

	"github.com/meshrt/meshrt/web/ws"
)

// The limits of admission, as they are counted and logged.
const (
	limitConns      = "max-conns"
	limitConnsPerIP = "max-conns-per-ip"
)

// admission counts the clients of all protocols: sessions of Socket.IO, plain
// websockets and event streams. Health checks, pages and the requests of sessions
// that are open are none, and always let in.
type admission struct {
	max, perIP int // 0: no limit
	notices    *ws.Notices

	mu      sync.Mutex
	open    int
	byIP    map[netip.Addr]int // with perIP only
	refused map[string]uint64  // by limit
}

func newAdmission(most, perIP int, notices *ws.Notices) *admission {
	return &admission{max: most, perIP: perIP, notices: notices, byIP: map[netip.Addr]int{},
		refused: map[string]uint64{limitConns: 0, limitConnsPerIP: 0}}
}

// enter lets a client in, or says why not in a *ws.Refusal. Both say that a later
// try may do better: 503 for all clients, 429 for this one.
func (a *admission) enter(r *http.Request) error {
	ip := clientIP(r.RemoteAddr)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.max > 0 && a.open >= a.max:
		return a.refuseLocked(r, limitConns, http.StatusServiceUnavailable, "Too many connections")
	case a.perIP > 0 && a.byIP[ip] >= a.perIP:
		return a.refuseLocked(r, limitConnsPerIP, http.StatusTooManyRequests, "Too many connections from this address")
	}
	a.open++
	if a.perIP > 0 {
		a.byIP[ip]++
	}
	return nil
}

func (a *admission) refuseLocked(r *http.Request, limit string, status int, message string) error {
	a.refused[limit]++
	a.notices.Say(limit, "client refused", slog.String("addr", r.RemoteAddr), slog.Int("clients", a.open))
	return &ws.Refusal{Status: status, Message: message}
}

// leave undoes enter.
func (a *admission) leave(remote string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open--
	if a.perIP == 0 {
		return
	}
	ip := clientIP(remote)
	if a.byIP[ip]--; a.byIP[ip] <= 0 {
		delete(a.byIP, ip)
	}
}

// counts is how many were refused, by limit.
func (a *admission) counts() map[string]uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	counts := make(map[string]uint64)
	for limit, n := range a.refused {
		counts[limit] = n
	}
	return counts
}

// clientIP is what the limit per address counts by. A host of IPv6 has a whole /64
// (RFC 4291, section 2.5.1), so that its addresses are one. What is no address
// shares the zero value.
func clientIP(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	ip := ap.Addr().Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return ip
}

// clientLimit is how many clients are let in: as configured, and never more than
// there are connections for, so that requests which answer at once, health checks
// too, always find one.
func clientLimit(configured, connections int) int {
	if connections <= 0 {
		return configured
	}
	most := max(connections-spare(connections), 1)
	if configured > 0 {
		return min(configured, most)
	}
	return most
}

// spare is how many of connections are left for requests that answer at once.
func spare(connections int) int { return max(connections/16, 8) }

func validateLimits(cfg *Config) error {
	if cfg.MaxConns < 0 || cfg.MaxConnsPerIP < 0 {
		return fmt.Errorf("-max-conns %d, -max-conns-per-ip %d: want 0 for no limit, or more", cfg.MaxConns, cfg.MaxConnsPerIP)
	}
	return nil
}
