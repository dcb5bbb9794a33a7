package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/meshrt/meshrt/web/config"
)

// apiClient calls the HTTP API of a node.
type apiClient struct {
	addr, key, keyFile string
}

// maxAnswer limits what is read of an answer, in bytes.
const maxAnswer = 64 << 20

func apiFlags(fs *flag.FlagSet) *apiClient {
	c := &apiClient{}
	fs.StringVar(&c.addr, "api", "127.0.0.1:7980", "`address` of a node's HTTP API")
	fs.StringVar(&c.key, "api-key", "", "`key` for it")
	fs.StringVar(&c.keyFile, "api-key-file", "", "`file` with the key")
	return c
}

// call makes one request. Its errors are one line for the user.
func (c *apiClient) call(ctx context.Context, method, path string, body any) ([]byte, error) {
	if c.keyFile != "" {
		key, err := config.ReadLine(c.keyFile)
		if err != nil {
			return nil, usageError{fmt.Errorf("-api-key-file: %w", err)}
		}
		c.key = key
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+c.addr+path, bytes.NewReader(text))
	if err != nil {
		return nil, usageError{fmt.Errorf("-api %q: want host:port", c.addr)}
	}
	r.Header.Set("Content-Type", "application/json")
	if c.key != "" {
		r.Header.Set("Authorization", "Bearer "+c.key)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("no node answers at %s: %w", c.addr, cause(err))
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("answer of %s: %w", c.addr, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s refuses: %s", c.addr, refusal(resp, answer))
	}
	return answer, nil
}

// cause is the innermost reason of a network error: the rest repeats the address.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

func refusal(resp *http.Response, answer []byte) string {
	var body struct{ Error struct{ Message string } }
	if json.Unmarshal(answer, &body) == nil && body.Error.Message != "" {
		return body.Error.Message
	}
	return strings.ToLower(resp.Status)
}
