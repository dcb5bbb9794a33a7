// Command meshrt is a realtime server for Socket.IO and WebSocket clients that
// forms a cluster by itself: meshrt -join host:7946.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK    = 0
	exitError = 1 // something failed
	exitUsage = 2 // flags or settings are wrong
)

// run is the program: the first argument names the command, and without one
// meshrt serves.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var err error
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		if c, ok := find(args[0]); ok {
			err = c.run(ctx, args[1:], stdout)
		} else {
			err = usageError{fmt.Errorf("unknown command %q; see meshrt -h", args[0])}
		}
	} else {
		err = serve(ctx, args, stdout, stderr)
	}
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintln(stderr, "meshrt:", err)
		return exitUsage
	}
	fmt.Fprintln(stderr, "meshrt:", err)
	return exitError
}

// usageError is the user's mistake.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// commit is set by the Makefile for builds without version control around.
var commit string

// version is the commit that the program was built from, "+dirty" when the
// tree had changes.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, dirty := commit, ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	if revision == "" {
		return info.Main.Version
	}
	return revision + dirty
}

// buildInfo is what meshrt version tells.
type buildInfo struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func build() buildInfo {
	return buildInfo{version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
}

// discard logs nothing.
var discard = slog.New(slog.DiscardHandler)

func newLogger(w io.Writer, level slog.Level, format string) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
