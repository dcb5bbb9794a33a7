package web

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is a key pair in two files, loaded again when they change: what
// renews certificates writes files and need not know us.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	stamp   string    // of the files that pair is from
	checked time.Time // when the files were last looked at
}

// checkEvery limits how often the files are looked at.
const checkEvery = time.Second

func loadCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	return c, c.load()
}

func (c *certificate) load() error {
	stamp := stampOf(c.certFile) + stampOf(c.keyFile)
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("tls certificate: %w", err)
	}
	c.pair, c.stamp = &pair, stamp
	return nil
}

// stampOf tells whether a file has changed.
func stampOf(name string) string {
	info, err := os.Stat(name)
	if err != nil {
		return "missing "
	}
	return fmt.Sprint(info.ModTime().UnixNano(), "/", info.Size(), " ")
}

// get is tls.Config.GetCertificate. Files that cannot be loaded, half-written
// ones perhaps, leave the last good pair in use.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) >= checkEvery {
		c.checked = now
		if stamp := stampOf(c.certFile) + stampOf(c.keyFile); stamp != c.stamp {
			if err := c.load(); err != nil {
				c.log.Warn("keeping the old certificate", "err", err)
				c.stamp = stamp // one line for each change
			} else {
				c.log.Info("certificate loaded again", "file", c.certFile)
			}
		}
	}
	return c.pair, nil
}

func (c *certificate) config() *tls.Config {
	// Websockets need HTTP/1.1: a hijacked connection is one stream.
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: []string{"http/1.1"}}
}
