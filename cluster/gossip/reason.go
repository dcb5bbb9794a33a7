package gossip

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
)

const maxReason = 160 // bytes

// reason says in a few words why a lookup or a join failed. memberlist flattens
// errors to text, so text is all there is to go by once a stream is open.
func reason(err error) string {
	for _, r := range []func(error) string{lookupReason, dialReason, secretReason, closedReason} {
		if s := r(err); s != "" {
			return s
		}
	}
	return shorten(err.Error())
}

func lookupReason(err error) string {
	var dns *net.DNSError
	switch {
	case !errors.As(err, &dns):
		return ""
	case dns.IsNotFound:
		return "no such host"
	case dns.IsTimeout:
		return "the name server does not answer"
	}
	return "name lookup failed: " + shorten(dns.Err)
}

func dialReason(err error) string {
	var ne net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to host"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &ne) && ne.Timeout(), has(err, "i/o timeout"):
		return "no answer"
	}
	return ""
}

func secretReason(err error) string {
	var verify *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var alert tls.AlertError
	if errors.As(err, &verify) || errors.As(err, &authority) || errors.As(err, &alert) ||
		has(err, "remote error: tls") || has(err, "not authenticated") || has(err, "no installed keys") {
		return "another cluster secret or cluster name"
	}
	return ""
}

func closedReason(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || has(err, "EOF") || has(err, "connection reset") {
		return "closed by the other side (another cluster name or secret?)"
	}
	return ""
}

func has(err error, s string) bool { return strings.Contains(err.Error(), s) }

// shorten takes memberlist's list of errors down to the last one.
func shorten(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.LastIndex(s, "* failed to join "); i >= 0 {
		s = s[i+2:]
	}
	s = strings.Join(strings.Fields(s), " ")
	return strings.ToValidUTF8(s[:min(len(s), maxReason)], "")
}
