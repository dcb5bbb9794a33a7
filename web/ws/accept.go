package ws

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// The names of headers as net/http keys them: looked up as the RFC writes them they
// would be made anew each time, which took a twentieth of a connect.
const (
	headerKey        = "Sec-Websocket-Key"
	headerVersion    = "Sec-Websocket-Version"
	headerAccept     = "Sec-Websocket-Accept"
	headerExtensions = "Sec-Websocket-Extensions"
	headerProtocol   = "Sec-Websocket-Protocol"
)

// Accept answers a request for a websocket. It judges no web origin. After an
// error the request has been answered, with a status that fits, or its client is gone.
//
// The connection outlives the handler of the request: see Guest.
func Accept(w http.ResponseWriter, r *http.Request, cfg *Config) (*Conn, error) {
	if status, err := verify(w, r); err != nil {
		http.Error(w, err.Error(), status)
		return nil, err
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, http.StatusText(http.StatusNotImplemented), http.StatusNotImplemented)
		return nil, fmt.Errorf("take the connection: %w", err)
	}
	deflate := ""
	if cfg.Deflater != nil {
		deflate = deflateAnswer(r.Header.Values(headerExtensions))
	}
	packs := deflate != ""
	c := &Conn{cfg: cfg, remote: r.RemoteAddr, packs: packs, guest: guestOf(r.Context()), tap: tap{Conn: conn, opened: time.Now(), raw: rawConn(conn)}}
	// Not together with the first frame: Node's ws hands over both in one go, and who waits for "open" before
	// it listens would always miss that frame.
	greeting := []encoded{{head: answer(w.Header(), r, deflate)}}
	if err := c.tap.writeFrames(greeting, false, patience(conn, cfg.WriteTimeout)); err != nil {
		Cut(conn)
		return nil, fmt.Errorf("answer the handshake: %w", err)
	}
	c.in = decoder{most: cfg.MaxPayload, packs: packs}
	if rw != nil {
		c.early = buffered(rw.Reader)
	}
	c.busy.Store(true)
	c.turn.take() // Go gives it up
	if c.guest != nil {
		c.guest.Stayed()
	}
	return c, nil
}

// answer is the response, with the header that others have set: section 4.2.2.
func answer(h http.Header, r *http.Request, deflate string) []byte {
	h.Set("Upgrade", "websocket")
	h.Set("Connection", "Upgrade")
	h.Set(headerAccept, acceptKey(strings.TrimSpace(r.Header.Get(headerKey))))
	if deflate != "" {
		h.Set(headerExtensions, deflate)
	}
	if p := firstProtocol(r.Header.Values(headerProtocol)); p != "" {
		h.Set(headerProtocol, p)
	}
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	h.Write(&b) // to memory: it does not fail
	b.WriteString("\r\n")
	return b.Bytes()
}

// firstProtocol is the subprotocol that the client likes best. It means nothing here,
// but a browser that has named some takes no connection without one: Node's ws, and
// with it the official server, answers the same.
func firstProtocol(values []string) string {
	for _, value := range values {
		for p := range strings.SplitSeq(value, ",") {
			if p = strings.TrimSpace(p); p != "" {
				return p
			}
		}
	}
	return ""
}

// buffered is what the client has sent right behind its request. The reader is not
// kept: it has net/http's buffer, which an idle connection does without.
func buffered(r *bufio.Reader) []byte {
	b, _ := r.Peek(r.Buffered()) // they are there
	return append([]byte(nil), b...)
}

// verify is section 4.2.1 of RFC 6455.
func verify(w http.ResponseWriter, r *http.Request) (status int, err error) {
	switch keys := r.Header.Values(headerKey); {
	case !r.ProtoAtLeast(1, 1):
		return http.StatusUpgradeRequired, errors.New("a websocket needs HTTP/1.1")
	case !IsUpgrade(r):
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		return http.StatusUpgradeRequired, errors.New("no request for a websocket")
	case r.Method != http.MethodGet:
		return http.StatusMethodNotAllowed, errors.New("a websocket is opened with GET")
	case r.Header.Get(headerVersion) != "13":
		w.Header().Set(headerVersion, "13") // section 4.4
		return http.StatusBadRequest, errors.New("the version of websockets spoken here is 13")
	case len(keys) != 1 || !validKey(strings.TrimSpace(keys[0])):
		return http.StatusBadRequest, errors.New("a websocket needs one Sec-WebSocket-Key of 16 bytes in base64")
	case r.ProtoMajor > 1:
		return http.StatusNotImplemented, errors.New("websockets are not opened over HTTP/2")
	}
	return 0, nil
}

func validKey(key string) bool {
	b, err := base64.StdEncoding.DecodeString(key)
	return err == nil && len(b) == 16
}

// acceptKey proves that the key was read: section 4.2.2, step 5.4.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// deflateAnswer is our answer to the first offer of permessage-deflate that we can
// keep, or empty: RFC 7692, section 7.1. A client may ask for a smaller window of ours,
// which the compressor has not; that of the client may be of any size.
func deflateAnswer(extensions []string) string {
	for _, value := range extensions {
		for offer := range strings.SplitSeq(value, ",") {
			name, params, _ := strings.Cut(offer, ";")
			if strings.TrimSpace(name) != "permessage-deflate" || !canKeep(params) {
				continue
			}
			answer := "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
			if strings.Contains(params, ourWindow) { // must be confirmed: section 7.1.2.1
				answer += "; " + ourWindow
			}
			return answer
		}
	}
	return ""
}

// ourWindow is the window of the compressor, as a client may ask for it.
const ourWindow = "server_max_window_bits=15"

func canKeep(params string) bool {
	for p := range strings.SplitSeq(params, ";") {
		p = strings.TrimSpace(p)
		switch {
		case p == "", p == "client_no_context_takeover", p == "server_no_context_takeover", p == ourWindow:
		case p == "client_max_window_bits", strings.HasPrefix(p, "client_max_window_bits="):
		default:
			return false
		}
	}
	return true
}
