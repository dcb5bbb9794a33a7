// Package e2e drives the built program with the official npm clients and a
// browser: real processes on loopback, killed and restarted. Its tests run with
// MESHRT_E2E=1, after the script deps has installed what they need (make e2e).
//
// Reading order: harness_test.go (nodes and Node.js scripts), then the tests.
// The folder conformance is the server for the official protocol suites.
package e2e
