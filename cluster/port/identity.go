package port

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"
)

// The protocols of the cluster port in ALPN. The number is the version of what
// runs inside.
const (
	alpnGossip = "meshrt-gossip/1"
	alpnLink   = "meshrt-link/1"
	alpnHTTP   = "meshrt-http/1"
)

const (
	maxCluster = 64  // bytes of a cluster name
	maxNode    = 128 // bytes of "name@boot"
	uriScheme  = "meshrt"
	// serverName is the DNS name of every node's certificate: addresses change
	// and names are not known before dialling, so the check is on the signer.
	serverName = "node.meshrt.internal"
)

// Certificates are valid for ever: what expires is the secret, and a jump of
// the clock must not split the cluster.
var (
	notBefore = time.Unix(0, 0)
	notAfter  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

var errIdentity = errors.New("certificate does not name a node of this cluster")

// identity is how this node proves itself and judges others, under one set of
// secrets. It does not change after it was made.
type identity struct {
	cluster        string
	keys           []keys // the signing one first
	server, client *tls.Config
}

// newIdentity derives the keys and makes the certificates of one run.
func newIdentity(cluster, node string, secrets [][]byte) (*identity, error) {
	all, err := deriveAll(secrets, cluster)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	var signer *x509.Certificate
	for i, k := range all {
		ca, err := caCertificate(k.ca)
		if err != nil {
			return nil, err
		}
		roots.AddCert(ca)
		if i == 0 {
			signer = ca
		}
	}
	leaf, err := leafCertificate(signer, all[0].ca, nodeURI(cluster, node))
	if err != nil {
		return nil, err
	}
	id := &identity{cluster: cluster, keys: all}
	id.configure(leaf, roots)
	return id, nil
}

// configure sets up both roles alike: TLS 1.3, the same certificate, ordinary
// verification against the derived roots, then the exact name.
func (id *identity) configure(leaf tls.Certificate, roots *x509.CertPool) {
	base := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{leaf},
		SessionTicketsDisabled: true, // a resumed session would outlive a rotated secret
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, err := id.peerName(cs)
			return err
		},
	}
	id.server, id.client = base, base.Clone()
	id.server.ClientAuth, id.server.ClientCAs = tls.RequireAndVerifyClientCert, roots
	id.server.NextProtos = []string{alpnGossip, alpnLink, alpnHTTP}
	id.client.RootCAs, id.client.ServerName = roots, serverName
}

// dialler is the client's configuration for one protocol.
func (id *identity) dialler(alpn string) *tls.Config {
	c := id.client.Clone()
	c.NextProtos = []string{alpn}
	return c
}

// peerName is the "name@boot" of a verified peer. Exactly one URI is allowed
// and it is compared as a whole: looser readings of certificate names have been
// authentication bypasses elsewhere (MESH §8).
func (id *identity) peerName(cs tls.ConnectionState) (string, error) {
	if len(cs.PeerCertificates) == 0 || len(cs.PeerCertificates[0].URIs) != 1 {
		return "", errIdentity
	}
	u := cs.PeerCertificates[0].URIs[0]
	node := strings.TrimPrefix(u.Path, "/")
	if checkNode(node) != nil || u.String() != nodeURI(id.cluster, node).String() {
		return "", errIdentity
	}
	return node, nil
}

func nodeURI(cluster, node string) *url.URL {
	return &url.URL{Scheme: uriScheme, Host: cluster, Path: "/" + node}
}

// caCertificate is the root that belongs to a derived key. Every node makes its
// own copy: only the key and the subject matter to verification.
func caCertificate(key ed25519.PrivateKey) (*x509.Certificate, error) {
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "meshrt cluster"},
		NotBefore:    notBefore, NotAfter: notAfter,
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make cluster certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// leafCertificate is this run's certificate, for a key that never leaves memory.
func leafCertificate(ca *x509.Certificate, caKey ed25519.PrivateKey, name *url.URL) (tls.Certificate, error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make node key: %w", err)
	}
	tmpl := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "meshrt node"}, // nobody reads it: the name is the URI
		NotBefore: notBefore, NotAfter: notAfter,
		DNSNames:    []string{serverName},
		URIs:        []*url.URL{name},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca, pub, caKey)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make node certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: priv}, nil
}
