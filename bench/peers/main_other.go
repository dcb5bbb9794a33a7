//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench-peers: only on Linux: CPU time and memory of the servers are read from its kernel")
	os.Exit(1)
}
