package config_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshrt/meshrt/cluster/gossip"
	"github.com/meshrt/meshrt/web/config"
)

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func parse(t *testing.T, args ...string) *config.Config {
	t.Helper()
	c, err := config.Parse(args, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaultsAreTheContracts(t *testing.T) {
	c := parse(t)
	host, _ := os.Hostname()
	if c.HTTP != ":8080" || c.API != "127.0.0.1:7980" || c.Bind != "0.0.0.0:7946" || c.Cluster != "meshrt" || c.Node != host ||
		c.Profile != gossip.LAN || c.Path != "/socket.io/" || c.WSPath != "/ws" || !slices.Equal(c.Namespaces, []string{"/"}) ||
		c.PingInterval != 25*time.Second || c.Recovery != 0 || c.PingTimeout != 20*time.Second || c.ConnectTimeout != 45*time.Second ||
		c.Limits != (config.Limits{MaxRooms: 1000}) || c.MaxPayload != 1_000_000 || c.QueueBytes != 1<<20 || !c.Relay || !c.Demo || c.Join != nil || c.Secrets != nil || c.Origins != nil {
		t.Errorf("%+v", c)
	}
}

func TestFlagsBeatEnvironmentBeatsFile(t *testing.T) {
	file := write(t, "node from-file\nregion from-file\ncluster from-file\n# a comment\nqueue-bytes 2MiB\ndemo false\n")
	t.Setenv("MESHRT_REGION", "from-env")
	t.Setenv("MESHRT_CLUSTER", "from-env")
	t.Setenv("MESHRT_JOIN", "a:1,b:2")
	c := parse(t, "-config", file, "-cluster", "from-flag")
	if c.Node != "from-file" || c.Region != "from-env" || c.Cluster != "from-flag" || c.QueueBytes != 2<<20 || c.Demo ||
		!slices.Equal(c.Join, []string{"a:1", "b:2"}) {
		t.Errorf("%+v", c)
	}
}

func TestRecoveryIsATimeWithinItsLimits(t *testing.T) {
	for _, d := range []time.Duration{0, time.Second, 2 * time.Minute, time.Hour} {
		if c := parse(t, "-recovery", d.String()); c.Recovery != d {
			t.Errorf("%v, want %v", c.Recovery, d)
		}
	}
}

func TestListsRepeatAndSplit(t *testing.T) {
	c := parse(t, "-join", "a:1, b:2", "-join", "c:3", "-namespaces", "/,/chat", "-api", "off")
	if !slices.Equal(c.Join, []string{"a:1", "b:2", "c:3"}) || !slices.Equal(c.Namespaces, []string{"/", "/chat"}) || c.API != "" {
		t.Errorf("%+v", c)
	}
}

func TestSecretsComeFromFlagsAndFiles(t *testing.T) {
	first, second := strings.Repeat("a", 32), strings.Repeat("b", 40)
	c := parse(t, "-secret", first, "-secret-file", write(t, second+"\n"), "-api-key-file", write(t, " key \n"))
	if len(c.Secrets) != 2 || string(c.Secrets[0]) != first || string(c.Secrets[1]) != second || !slices.Equal(c.APIKeys, []string{"key"}) {
		t.Errorf("%q, %q", c.Secrets, c.APIKeys)
	}
}

func TestMistakesAreOneLineThatNamesThem(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-jion", "x"}, "unknown flag -jion"},
		{[]string{"serve"}, `unknown command "serve"`},
		{[]string{"-ping-interval", "soon"}, "-ping-interval"},
		{[]string{"-ping-interval", "0"}, "-ping-interval"},
		{[]string{"-connect-timeout", "-1s"}, "-connect-timeout"},
		{[]string{"-transports", "carrier-pigeon"}, "-transports"},
		{[]string{"-max-payload", "0"}, "-max-payload"},
		{[]string{"-max-payload", "1GiB"}, "-max-payload"},
		{[]string{"-queue-bytes", "-1"}, "-queue-bytes"},
		{[]string{"-queue-bytes", "99999999999GiB"}, "-queue-bytes"},
		{[]string{"-max-conns", "-1"}, "-max-conns -1"},
		{[]string{"-max-conns-per-ip", "-1"}, "-max-conns-per-ip -1"},
		{[]string{"-rate", "1.5"}, "-rate"},
		{[]string{"-rate", "-1"}, "-rate -1"},
		{[]string{"-max-rooms-per-conn", "0"}, "-max-rooms-per-conn 0"},
		{[]string{"-recovery", "-1s"}, "-recovery -1s"},
		{[]string{"-recovery", "999ms"}, "from 1s to 1h0m0s"},
		{[]string{"-recovery", "61m"}, "-recovery 1h1m0s"},
		{[]string{"-recovery", "120"}, "-recovery"},
		{[]string{"-join", "a:1,,b:2"}, "-join"},
		{[]string{"-profile", "moon"}, "-profile"},
		{[]string{"-log-level", "loud"}, "-log-level"},
		{[]string{"-log-format", "xml"}, "-log-format"},
		{[]string{"-secret", "short"}, "32 bytes or more, this one has 5"},
		{[]string{"-secret-file", "no-such-file"}, "no-such-file"},
		{[]string{"-api-key-file", os.DevNull}, "want one line"},
		{[]string{"-node", "a b"}, "node name"},
		{[]string{"-cluster", ""}, "cluster name"},
		{[]string{"-config", "no-such-file"}, "no-such-file"},
		{[]string{"-config", write(t, "nodde x\n")}, "nodde"},
	} {
		_, err := config.Parse(tt.args, &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want one line with %q", tt.args, err, tt.want)
		}
	}
	t.Setenv("MESHRT_PING_TIMEOUT", "never")
	if _, err := config.Parse(nil, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "ping-timeout") {
		t.Errorf("environment: %v", err)
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	var help bytes.Buffer
	if _, err := config.Parse([]string{"-h"}, &help); !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	for _, name := range []string{"-http", "-join", "-secret", "-config", "MESHRT_NAME"} {
		if !strings.Contains(help.String(), name) {
			t.Errorf("help does not mention %s", name)
		}
	}
}

// TestReadmeListsTheFlags: the README's table has every flag, and no other.
func TestReadmeListsTheFlags(t *testing.T) {
	var help bytes.Buffer
	config.Parse([]string{"-h"}, &help)
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(readme), "## Flags")
	listed := map[string]bool{}
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, "|"); len(cells) > 3 {
			for _, name := range strings.Split(cells[1], ",") {
				listed[strings.Trim(name, " `")] = true
			}
		}
	}
	for line := range strings.Lines(help.String()) {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasPrefix(line, "  -") && !listed[name] {
			t.Errorf("the README does not list %s", name)
		} else {
			delete(listed, name)
		}
	}
	for name := range listed {
		if strings.HasPrefix(name, "-") && strings.Trim(name, "-") != "" {
			t.Errorf("the README lists %s, which is no flag", name)
		}
	}
}
