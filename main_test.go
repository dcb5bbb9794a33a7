package main

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"meshrt": main})
}

// TestScripts runs the program as users do: every command, and every mistake
// that is worth a clear line.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Cmds: map[string]func(*testscript.TestScript, bool, []string){
		"wait-for-node": waitForNode,
		"free-address":  freeAddress,
	}})
}

// waitForNode waits until the API at an address answers.
func waitForNode(ts *testscript.TestScript, _ bool, args []string) {
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get("http://" + args[0] + "/healthz")
		if err == nil {
			resp.Body.Close()
			return
		}
		if time.Since(start) > 10*time.Second {
			ts.Fatalf("no node at %s: %v", args[0], err)
		}
	}
}

// freeAddress sets variables to addresses of loopback that were free a moment ago.
func freeAddress(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		ts.Setenv(name, l.Addr().String())
		l.Close()
	}
}
