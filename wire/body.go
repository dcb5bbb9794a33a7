package wire

// The protocol versions that this build speaks. A link runs at the highest
// version that both ends know.
const (
	MinVersion = 1
	MaxVersion = 1
)

// Hello opens a link: who speaks and which protocol versions it knows.
type Hello struct {
	MinVersion, MaxVersion uint64
	Node                   NodeID
	Name                   string // the operator's name of the node
	Addr                   string // what others dial to reach it
}

// AppendHello appends a HELLO frame.
func AppendHello(dst []byte, h Hello) []byte {
	dst, start := startFrame(dst)
	dst = appendUint(appendArray(dst, 6), uint64(KindHello))
	dst = appendUint(appendUint(dst, h.MinVersion), h.MaxVersion)
	dst = appendUint(dst, uint64(h.Node))
	dst = appendString(appendString(dst, h.Name), h.Addr)
	return endFrame(dst, start)
}

// DecodeHello reads a HELLO frame.
func DecodeHello(f Frame) (Hello, error) {
	p := parser{b: f}
	p.begin(KindHello, 5)
	h := Hello{MinVersion: p.uint(), MaxVersion: p.uint(), Node: NodeID(p.uint()), Name: p.string(), Addr: p.string()}
	return h, p.err(KindHello)
}

// Sync is one part of a node's whole interest (MESH §5, link connect).
type Sync struct {
	Frontier uint64 // highest number of the receiver's messages that the sender has processed
	Version  uint64 // of the interest
	More     bool   // further parts follow; the interest is in force with the last
	Topics   []Topic
	Settled  bool // the sender is past its start: its name is its own
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
	dst = appendUint(appendArray(dst, 6), uint64(KindSync))
	dst = appendUint(appendUint(dst, s.Frontier), s.Version)
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
	dst = appendBool(dst, s.Settled)
	return endFrame(dst, start)
}

// DecodeSync reads one SYNC frame.
func DecodeSync(f Frame) (Sync, error) {
	p := parser{b: f}
	p.begin(KindSync, 5)
	s := Sync{Frontier: p.uint(), Version: p.uint(), More: p.bool()}
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
// (interest version), PING and PONG (monotonic nanoseconds of the asker), ACK and GAP
// (numbers of messages).
func AppendNumber(dst []byte, k Kind, v uint64) []byte {
	dst, start := startFrame(dst)
	dst = appendUint(appendUint(appendArray(dst, 2), uint64(k)), v)
	return endFrame(dst, start)
}

// AppendPair appends a frame of two numbers: ASK and GRANT (monotonic nanoseconds of the
// asker, frontier of the sender).
func AppendPair(dst []byte, k Kind, a, b uint64) []byte {
	dst, start := startFrame(dst)
	dst = appendUint(appendUint(appendUint(appendArray(dst, 3), uint64(k)), a), b)
	return endFrame(dst, start)
}

// DecodePair reads a frame of AppendPair.
func DecodePair(f Frame, k Kind) (a, b uint64, err error) {
	p := parser{b: f}
	p.begin(k, 2)
	a, b = p.uint(), p.uint()
	return a, b, p.err(k)
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
