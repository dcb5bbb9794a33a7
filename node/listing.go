package node

import (
	"slices"
	"sync"
	"time"

	"github.com/meshrt/meshrt/node/presence"
	"github.com/meshrt/meshrt/wire"
)

// Limits of the lists that are kept for who asks next.
const (
	maxKeptLists  = 64 << 20        // bytes of their texts, roughly; beyond, a list is made for those who ask now
	keptListsLast = 5 * time.Second // since somebody asked last
)

// listing is a list of a room as it was, shared by all who are told it.
type listing struct {
	version uint64
	members []Member // not to be changed
	missing []Missing
	used    time.Time
	size    int // of text, roughly

	once   sync.Once
	text   []byte // of members
	answer *SharedAck
}

// make makes the texts. They are the same memory.
func (l *listing) make() {
	l.once.Do(func() { l.text, l.answer = answerOf(l.members, l.missing) })
}

// answerOf is the answer {ok:true, members, missing}, and the part of it that is the members.
func answerOf(members []Member, missing []Missing) (text []byte, a *SharedAck) {
	const head = `[{"ok":true,"members":`
	b := presence.AppendMembers([]byte(head), members)
	end := len(b)
	if len(missing) > 0 {
		type tagged struct {
			Node   string `json:"node"`
			Reason string `json:"reason"`
		}
		var list []tagged
		for _, m := range missing {
			list = append(list, tagged(m))
		}
		names, _ := wire.MarshalJSON(list) // strings always encode
		b = append(append(b, `,"missing":`...), names...)
	}
	b = append(b, "}]"...)
	return b[len(head):end:end], &SharedAck{args: b}
}

// listLocked is a room's list, the one of before if nothing has changed. presences.mu is held.
func (p *presences) listLocked(t wire.Topic, f *followed) *listing {
	now, version, missing := time.Now(), p.m.Version(t), p.missing(t)
	if l := f.list; l != nil && l.version == version && slices.Equal(l.missing, missing) {
		p.m.Use(t)
		l.used = now
		p.lists.Shared++
		return l
	}
	l := &listing{version: version, missing: missing, used: now}
	l.members, _ = p.m.List(t, "", p.m.Count(t))
	l.size = presence.SizeOf(l.members)
	p.lists.Made++
	p.forgetListLocked(t, f)
	if p.listBytes+l.size <= maxKeptLists {
		f.list = l
		p.listBytes += l.size
		p.listed[t] = f
	}
	return l
}

func (p *presences) forgetListLocked(t wire.Topic, f *followed) {
	if f.list != nil {
		p.listBytes -= f.list.size
		f.list = nil
		delete(p.listed, t)
	}
}

// forgetListsLocked lets go of lists that nobody has asked for in a while, or of rooms that are not followed any more.
func (p *presences) forgetListsLocked() {
	for t, f := range p.listed {
		if time.Since(f.list.used) >= keptListsLast || p.follows[t] != f {
			p.forgetListLocked(t, f)
		}
	}
}

// gathering is of sessions that are told the same list: those that have asked while the one before was made. So a storm
// of them, each of which may join the room as well, costs a few lists.
type gathering struct {
	who  []*Session
	errs []error
	list *listing
	done chan struct{}
}

// prime lists the members, and holds back what becomes of them.
func (s *Session) prime(t wire.Topic) (*listing, error) {
	for {
		s.lockSettled()
		s.node.mu.Unlock()
		list, err := s.gather(t)
		if err != errMoves {
			return list, err
		}
	}
}

func (s *Session) gather(t wire.Topic) (*listing, error) {
	p := &s.node.presences
	p.lock()
	f := p.follows[t]
	if f == nil { // it has made way
		p.mu.Unlock()
		return nil, ErrClosed
	}
	g := f.gathering
	first := g == nil
	if first {
		g = &gathering{done: make(chan struct{})}
		f.gathering = g
	}
	i := len(g.who)
	g.who = append(g.who, s)
	p.mu.Unlock()
	if first {
		f.turn <- struct{}{}
		s.node.listFor(t, f, g)
		<-f.turn
		close(g.done)
	}
	<-g.done
	return g.list, g.errs[i]
}

// listFor makes the list of those who have gathered by now.
func (n *Node) listFor(t wire.Topic, f *followed, g *gathering) {
	p := &n.presences
	n.mu.Lock()
	p.lock()
	f.gathering = nil
	for _, v := range p.m.TakeEvents() { // the list has them already
		n.tellPresenceLocked(v)
	}
	watched := 0
	for _, s := range g.who {
		err := s.watchLocked(t, f)
		g.errs = append(g.errs, err)
		if err == nil {
			watched++
		}
	}
	n.mu.Unlock() // a list takes a while
	if watched > 0 {
		g.list = p.listLocked(t, f)
		p.lists.Shared += uint64(watched - 1)
	}
	p.unlock()
	if g.list != nil {
		g.list.make() // who asks now is told the next
	}
}
