package wire

// The protocol versions that this build speaks. A link runs at the highest
// version that both ends know. Version 2 has Hello.Features and RECOVERY.
const (
	MinVersion = 1
	MaxVersion = 2
)

// Hello opens a link: who speaks and which protocol versions it knows.
type Hello struct {
	MinVersion, MaxVersion uint64
	Node                   NodeID
	Name                   string // the operator's name of the node
	Addr                   string // what others dial to reach it
	Features               uint64 // FeatureRecovery and others to come; since version 2
}

// AppendHello appends a HELLO frame.
func AppendHello(dst []byte, h Hello) []byte {
	dst, start := startFrame(dst)
	fields := 6
	if h.Features != 0 {
		fields++
	}
	dst = appendUint(appendArray(dst, fields), uint64(KindHello))
	dst = appendUint(appendUint(dst, h.MinVersion), h.MaxVersion)
	dst = appendUint(dst, uint64(h.Node))
	dst = appendString(appendString(dst, h.Name), h.Addr)
	if h.Features != 0 {
		dst = appendUint(dst, h.Features)
	}
	return endFrame(dst, start)
}

// DecodeHello reads a HELLO frame.
func DecodeHello(f Frame) (Hello, error) {
	p := parser{b: f}
	more := p.begin(KindHello, 5)
	h := Hello{MinVersion: p.uint(), MaxVersion: p.uint(), Node: NodeID(p.uint()), Name: p.string(), Addr: p.string()}
	if more > 0 {
		h.Features = p.uint()
	}
	return h, p.err(KindHello)
}

// Sync is one part of a node's whole interest (MESH §5, link connect).
type Sync struct {
	Frontiers Frontiers // of the receiver's messages, at the sender
	Version   uint64    // of the interest
	More      bool      // further parts follow; the interest is in force with the last
	Topics    []Topic
	Settled   bool // the sender is past its start: its name is its own
}

// syncPart is how many bytes of topics go into one SYNC, so that a node with a
// million rooms needs no frame of a size that delays a heartbeat.
const syncPart = 64 << 10

// AppendSync appends as many SYNC frames as the topics need, one at least.
// Topics of one namespace should be adjacent: they share its name. With More the
// caller has further topics.
func AppendSync(dst []byte, s Sync) []byte {
	for {
		n, size := 0, 0
		for n < len(s.Topics) && size < syncPart {
			size += len(s.Topics[n].Room) + 6
			n++
		}
		part := s
		part.Topics = s.Topics[:n]
		part.More = s.More || n < len(s.Topics)
		dst = appendSyncPart(dst, part)
		if s.Topics = s.Topics[n:]; len(s.Topics) == 0 {
			return dst
		}
	}
}

// runs calls yield for each longest run of topics in one namespace.
func runs(topics []Topic, yield func(ns string, run []Topic)) {
	for len(topics) > 0 {
		n := 1
		for n < len(topics) && topics[n].Namespace == topics[0].Namespace {
			n++
		}
		yield(topics[0].Namespace, topics[:n])
		topics = topics[n:]
	}
}

func appendSyncPart(dst []byte, s Sync) []byte {
	dst, start := startFrame(dst)
	dst = appendUint(appendArray(dst, 6+len(s.Frontiers)-1), uint64(KindSync))
	dst = appendUint(appendUint(dst, s.Frontiers[0]), s.Version)
	dst = appendBool(dst, s.More)
	groups := 0
	runs(s.Topics, func(string, []Topic) { groups++ })
	dst = appendArray(dst, groups)
	runs(s.Topics, func(ns string, run []Topic) {
		dst = appendString(appendArray(dst, 2), ns)
		dst = appendArray(dst, len(run))
		for _, t := range run {
			dst = appendString(dst, t.Room)
		}
	})
	dst = appendUints(appendBool(dst, s.Settled), s.Frontiers[1:])
	return endFrame(dst, start)
}

// DecodeSync reads one SYNC frame.
func DecodeSync(f Frame) (Sync, error) {
	p := parser{b: f}
	more := p.begin(KindSync, 5)
	frontier := p.uint()
	s := Sync{Version: p.uint(), More: p.bool()}
	for groups := p.array(); groups > 0 && !p.bad; groups-- {
		if p.array() != 2 {
			p.fail()
		}
		ns := p.string()
		for rooms := p.array(); rooms > 0 && !p.bad; rooms-- {
			s.Topics = append(s.Topics, Topic{ns, p.string()})
		}
	}
	s.Settled = p.bool()
	s.Frontiers = p.frontiers(frontier, more)
	return s, p.err(KindSync)
}

// Interest is one change: the sender's first member of a topic came, or its
// last one left. Versions of one sender rise by one with each change.
type Interest struct {
	Version uint64
	On      bool
	Topic   Topic
}

// AppendInterest appends an INTEREST frame.
func AppendInterest(dst []byte, i Interest) []byte {
	dst, start := startFrame(dst)
	dst = appendUint(appendArray(dst, 5), uint64(KindInterest))
	dst = appendBool(appendUint(dst, i.Version), i.On)
	dst = appendString(appendString(dst, i.Topic.Namespace), i.Topic.Room)
	return endFrame(dst, start)
}

// DecodeInterest reads an INTEREST frame.
func DecodeInterest(f Frame) (Interest, error) {
	p := parser{b: f}
	p.begin(KindInterest, 4)
	i := Interest{Version: p.uint(), On: p.bool(), Topic: Topic{p.string(), p.string()}}
	return i, p.err(KindInterest)
}

// AppendNumber appends one of the frames that carry a single number: INTACK
// (interest version), PING and PONG (monotonic nanoseconds of the asker), CONFIRM (id of a request).
func AppendNumber(dst []byte, k Kind, v uint64) []byte {
	dst, start := startFrame(dst)
	dst = appendUint(appendUint(appendArray(dst, 2), uint64(k)), v)
	return endFrame(dst, start)
}

// AppendLease appends an ASK or a GRANT: monotonic nanoseconds of the asker, and
// what the sender has processed.
func AppendLease(dst []byte, k Kind, at uint64, f Frontiers) []byte {
	dst, start := startFrame(dst)
	dst = appendUint(appendUint(appendArray(dst, 2+len(f)), uint64(k)), at)
	return endFrame(appendUints(dst, f[:]), start)
}

// DecodeLease reads an ASK or a GRANT.
func DecodeLease(f Frame, k Kind) (at uint64, frontiers Frontiers, err error) {
	p := parser{b: f}
	more := p.begin(k, 2)
	at = p.uint()
	frontiers = p.frontiers(p.uint(), more)
	return at, frontiers, p.err(k)
}

// AppendAck appends an ACK.
func AppendAck(dst []byte, f Frontiers) []byte {
	dst, start := startFrame(dst)
	dst = appendUint(appendArray(dst, 1+len(f)), uint64(KindAck))
	return endFrame(appendUints(dst, f[:]), start)
}

// DecodeAck reads an ACK.
func DecodeAck(f Frame) (Frontiers, error) {
	p := parser{b: f}
	more := p.begin(KindAck, 1)
	frontiers := p.frontiers(p.uint(), more)
	return frontiers, p.err(KindAck)
}

// Gap says that messages of the sender are gone which the receiver may have wanted:
// those of a stream up to a number.
type Gap struct {
	Seq    uint64
	Stream Stream
}

// AppendGap appends a GAP frame.
func AppendGap(dst []byte, g Gap) []byte {
	dst, start := startFrame(dst)
	dst = appendUint(appendArray(dst, 3), uint64(KindGap))
	return endFrame(appendUint(appendUint(dst, g.Seq), uint64(g.Stream)), start)
}

// DecodeGap reads a GAP frame.
func DecodeGap(f Frame) (Gap, error) {
	p := parser{b: f}
	more := p.begin(KindGap, 1)
	g := Gap{Seq: p.uint()}
	if more > 0 {
		s := p.uint()
		if s >= Streams {
			p.fail()
		}
		g.Stream = Stream(s)
	}
	if err := p.err(KindGap); err != nil {
		return Gap{}, err
	}
	return g, nil
}

// DecodeNumber reads a frame of AppendNumber.
func DecodeNumber(f Frame, k Kind) (uint64, error) {
	p := parser{b: f}
	p.begin(k, 1)
	return p.uint(), p.err(k)
}

// AppendPeers appends a PEERS frame: addresses of nodes that the sender is
// linked to, so that the mesh closes in a round trip and not with luck in gossip.
func AppendPeers(dst []byte, addrs []string) []byte {
	dst, start := startFrame(dst)
	dst = appendStrings(appendUint(appendArray(dst, 2), uint64(KindPeers)), addrs)
	return endFrame(dst, start)
}

// DecodePeers reads a PEERS frame.
func DecodePeers(f Frame) ([]string, error) {
	p := parser{b: f}
	p.begin(KindPeers, 1)
	return p.strings(), p.err(KindPeers)
}

// AppendBye appends a BYE frame.
func AppendBye(dst []byte, reason string) []byte {
	dst, start := startFrame(dst)
	dst = appendString(appendUint(appendArray(dst, 2), uint64(KindBye)), reason)
	return endFrame(dst, start)
}

// DecodeBye reads a BYE frame.
func DecodeBye(f Frame) (string, error) {
	p := parser{b: f}
	p.begin(KindBye, 1)
	return p.string(), p.err(KindBye)
}
