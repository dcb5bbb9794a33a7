package web

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// writePair writes a self-signed certificate with a serial number.
func writePair(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCertificateIsLoadedAgainWhenItsFilesChange(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	synctest.Test(t, func(t *testing.T) {
		if _, err := loadCertificate(certFile, keyFile, nil); err == nil {
			t.Error("missing files are taken")
		}
		var log bytes.Buffer
		writePair(t, certFile, keyFile, 1)
		c, err := loadCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		serial := func() int64 {
			t.Helper()
			pair, err := c.get(nil)
			if err != nil {
				t.Fatal(err)
			}
			leaf, err := x509.ParseCertificate(pair.Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			return leaf.SerialNumber.Int64()
		}
		if got := serial(); got != 1 {
			t.Errorf("serial %d, want 1", got)
		}
		time.Sleep(checkEvery)
		os.WriteFile(certFile, []byte("half a file"), 0o600)
		for range 3 {
			if got := serial(); got != 1 {
				t.Errorf("serial %d after a bad file, want 1", got)
			}
			time.Sleep(checkEvery)
		}
		if got := strings.Count(log.String(), "keeping the old certificate"); got != 1 {
			t.Errorf("%d warnings about one bad file:\n%s", got, &log)
		}
		writePair(t, certFile, keyFile, 2)
		if got := serial(); got != 2 {
			t.Errorf("serial %d after a new file, want 2", got)
		}
	})
}
