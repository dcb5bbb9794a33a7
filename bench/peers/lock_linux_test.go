package main

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// TestOneMeasuresAtATime: who holds the lock keeps it, others wait until it is released.
func TestOneMeasuresAtATime(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	a, b := &lock{name: name}, &lock{name: name}
	if err := errors.Join(a.hold(t.Context()), a.hold(t.Context())); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.hold(short); !errors.Is(err, context.DeadlineExceeded) || b.file != nil {
		t.Fatalf("two hold the lock: %v", err)
	}
	a.release()
	a.release()
	c := &lock{name: filepath.Join(t.TempDir(), "other")}
	if err := c.hold(t.Context()); err != nil {
		t.Error(err)
	}
	c.release()
	none := &lock{}
	if err := none.hold(t.Context()); err != nil {
		t.Error(err)
	}
	none.release()
}
