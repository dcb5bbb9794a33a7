package ws

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// Errors of Roster.Add.
var (
	ErrDraining = errors.New("ws: the server ends")
	ErrTaken    = errors.New("ws: the key is in use")
)

// Roster is the requests and sessions of a server, for the end of it:
// http.Server.Shutdown forgets hijacked connections. A request enters, and leaves
// when all that it started has ended; a session is listed by a key meanwhile. The
// zero value is ready; all methods may be called concurrently.
type Roster[K comparable, S any] struct {
	requests sync.WaitGroup

	mu       sync.Mutex
	draining bool
	sessions map[K]S
}

// Enter counts a request in, so that Wait waits for its Leave, or reports that the
// server ends.
func (r *Roster[K, S]) Enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.draining {
		return false
	}
	r.requests.Add(1)
	return true
}

// EnterFor counts in a request for a session that is listed, and returns the
// session. It lets them in until Remove, also while the server ends: the last
// requests of a session are part of its end. Whoever listed the session must not
// leave before Remove.
func (r *Roster[K, S]) EnterFor(key K) (s S, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok = r.sessions[key]; ok {
		r.requests.Add(1)
	}
	return s, ok
}

// Stay counts in what goes on when a request that is counted in has left.
func (r *Roster[K, S]) Stay() { r.requests.Add(1) }

// Leave undoes Enter, EnterFor and Stay.
func (r *Roster[K, S]) Leave() { r.requests.Done() }

// Add lists s: DrainOver ends it, or it is turned away with
// ErrDraining. A key that is in use is ErrTaken.
func (r *Roster[K, S]) Add(key K, s S) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.draining {
		return ErrDraining
	}
	if _, taken := r.sessions[key]; taken {
		return ErrTaken
	}
	if r.sessions == nil {
		r.sessions = make(map[K]S)
	}
	r.sessions[key] = s
	return nil
}

// Remove undoes Add.
func (r *Roster[K, S]) Remove(key K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sessions, key)
}

// Len is the number of sessions.
func (r *Roster[K, S]) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sessions)
}

// The pace of DrainOver.
const (
	drainTick = 10 * time.Millisecond
	// drainRate is how many sessions are ended in a second at least, if that takes drainFew: so
	// many new connections a second are no herd to the servers that get them.
	drainRate = 50
	// drainFew is for how long fewer are ended: all of them at once would be a herd to servers
	// that are as small as this one. Less than the 10 s after which docker stop kills.
	drainFew = 7 * time.Second
)

// drainTime is how long the ends of so many sessions take, if they may take d.
func drainTime(sessions int, d time.Duration) time.Duration {
	n := time.Duration(sessions)
	return min(d, max(n*time.Second/drainRate, min(n*time.Second, drainFew)))
}

// Draining says that nobody is let in any more.
func (r *Roster[K, S]) Draining() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.draining
}

// DrainOver lets nobody in any more and ends the sessions one by one, evenly and in random
// order, so that their clients do not all connect elsewhere at once: over d, or sooner at 50 a second; fewer than
// 350 take 7 seconds, and less than 7 a second each. Those that end by themselves meanwhile take no time: when a
// proxy has cut all, there is nobody to spare. With d = 0 all end at once, and when ctx
// ends those that are left. It blocks so long.
func (r *Roster[K, S]) DrainOver(ctx context.Context, d time.Duration, end func(S)) {
	keys := r.drain() // a map's keys come in random order
	took := drainTime(len(keys), d)
	began, ended := time.Now(), 0
	for _, k := range keys {
		due := time.Duration(float64(took) * float64(ended) / float64(len(keys)))
		if ahead := due - time.Since(began); ahead >= drainTick {
			select {
			case <-time.After(ahead):
			case <-ctx.Done():
			}
		}
		if s, ok := r.get(k); ok {
			end(s)
			ended++
		}
	}
}

// drain lets nobody in any more and returns the keys of the sessions.
func (r *Roster[K, S]) drain() []K {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.draining = true
	return slices.Collect(maps.Keys(r.sessions))
}

func (r *Roster[K, S]) get(key K) (s S, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok = r.sessions[key]
	return s, ok
}

// Wait returns when every request has left. It comes after DrainOver.
func (r *Roster[K, S]) Wait() { r.requests.Wait() }
