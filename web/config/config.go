// Package config turns flags, environment and a file into the options of a
// server. Every name here is a promise to users: CONTRACT §1.
//
// Precedence: flags, then MESHRT_NAME in the environment, then -config FILE (one
// "name value" a line), then the default.
package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/peterbourgon/ff/v3"

	"github.com/meshrt/meshrt/cluster/gossip"
	"github.com/meshrt/meshrt/wire"
)

// Config is what a server was told.
type Config struct {
	HTTP, API       string
	Bind, Advertise string
	Join            []string
	PeersFile       string
	Node            string
	Cluster, Region string
	Secrets         [][]byte
	Profile         gossip.Profile

	Path, WSPath   string
	SSEPath        string
	Transports     []string
	AllowEIO3      bool
	UpgradeTimeout time.Duration
	Namespaces     []string
	PingInterval   time.Duration
	PingTimeout    time.Duration
	ConnectTimeout time.Duration
	MaxPayload     int
	QueueBytes     int
	Compression    bool
	Recovery       time.Duration // 0 is off
	Limits

	Origins []string
	Relay   bool
	Forward []string
	APIKeys []string
	Demo    bool
	Drain   time.Duration
	TLSCert string
	TLSKey  string

	LogLevel  slog.Level
	LogFormat string

	// Settings is every flag with the value in force, secrets hidden, by name.
	Settings []Setting
}

// Limits are numbers; 0 is no limit, but for MaxConns, where it is what the file
// descriptors allow.
type Limits struct{ MaxConns, MaxConnsPerIP, Rate, MaxRooms int }

func (l *Limits) flags(fs *flag.FlagSet) {
	fs.IntVar(&l.MaxConns, "max-conns", 0, "`clients` at a time; more are refused with 503 (0: as many as there are file descriptors for)")
	fs.IntVar(&l.MaxConnsPerIP, "max-conns-per-ip", 0, "`clients` of one address; not behind a proxy, whose address all share (0: no limit)")
	fs.IntVar(&l.Rate, "rate", 0, "`messages` a second of one client, twice as many at once; more wait unread (0: no limit)")
	fs.IntVar(&l.MaxRooms, "max-rooms-per-conn", 1000, "`rooms` of one client in a namespace")
}

func (l *Limits) check() error {
	for name, n := range map[string]int{"max-conns": l.MaxConns, "max-conns-per-ip": l.MaxConnsPerIP, "rate": l.Rate} {
		if n < 0 || n > maxSize {
			return fmt.Errorf("-%s %d: want 0 for no limit, or a number up to %d", name, n, maxSize)
		}
	}
	if l.MaxRooms < 1 || l.MaxRooms > maxSize {
		return fmt.Errorf("-max-rooms-per-conn %d: want a number from 1 to %d", l.MaxRooms, maxSize)
	}
	return nil
}

// Setting is one flag with its value.
type Setting struct{ Name, Value string }

// List is a flag of several values: comma-separated, and repeatable.
type List []string

func (l *List) String() string { return strings.Join(*l, ",") }

func (l *List) Set(s string) error {
	for v := range strings.SplitSeq(s, ",") {
		if v = strings.TrimSpace(v); v == "" {
			return errors.New("empty value")
		}
		*l = append(*l, v)
	}
	return nil
}

// size is a flag of a number of bytes, with an optional KiB, MiB or GiB.
type size int

// maxSize is what an int holds everywhere.
const maxSize = 1 << 30

func (v *size) String() string { return strconv.Itoa(int(*v)) }

func (v *size) Set(s string) error {
	unit := 1
	for suffix, u := range map[string]int{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = rest, u
		}
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxSize/unit {
		return errors.New("want a number of bytes from 1 to 1GiB, such as 1000000 or 1MiB")
	}
	*v = size(n * unit)
	return nil
}

// What -recovery may be. Official clients come back after a second and a half at most, to begin with;
// what is published within the time is in the memory of two nodes.
const (
	minRecovery = time.Second
	maxRecovery = time.Hour
)

// raw is the flags before they are checked.
type raw struct {
	Config
	join, namespaces, origins, forward, apiKeys List
	transports                                  List
	secrets, secretFiles, apiKeyFiles           List
	profile, logLevel                           string
	maxPayload, queueBytes                      size
}

func (r *raw) flags(fs *flag.FlagSet) {
	fs.StringVar(&r.HTTP, "http", ":8080", "`address` for clients: Socket.IO, WebSocket, chat demo, health")
	fs.StringVar(&r.API, "api", "127.0.0.1:7980", "`address` of the HTTP API and metrics; not loopback needs -api-key; off turns it off")
	fs.StringVar(&r.Bind, "bind", "0.0.0.0:7946", "`address` for other nodes, UDP and TCP; without a secret 0.0.0.0 means this machine's private addresses")
	fs.StringVar(&r.Advertise, "advertise", "", "`address` that other nodes dial (default: found)")
	fs.Var(&r.join, "join", "`host:port` of other nodes, comma-separated, repeatable; tried for ever")
	fs.StringVar(&r.PeersFile, "peers-file", "", "`file` that keeps the addresses of the other nodes of the last 24 h, to find them again at the next start, with or without -join; each node has its own")
	fs.StringVar(&r.Node, "node", "", "`name` of this node (default: hostname)")
	fs.StringVar(&r.Cluster, "cluster", "meshrt", "`name` of the cluster; others never mix with it")
	fs.StringVar(&r.Region, "region", "", "`name` of the region; carried, not used yet")
	fs.Var(&r.secrets, "secret", "cluster `secret`, 32 bytes or more; repeatable for rotation: the first signs, all are accepted. None: private networks only")
	fs.Var(&r.secretFiles, "secret-file", "`file` with a cluster secret; repeatable")
	fs.StringVar(&r.profile, "profile", "lan", "gossip timing: lan, wan or local")
	fs.StringVar(&r.Path, "path", "/socket.io/", "`path` of Socket.IO")
	fs.StringVar(&r.WSPath, "ws-path", "/ws", "`path` of plain WebSocket")
	fs.StringVar(&r.SSEPath, "sse-path", "/sse", "`path` of server-sent events")
	fs.Var(&r.transports, "transports", "`transports` of Socket.IO clients (default polling,websocket)")
	fs.BoolVar(&r.AllowEIO3, "allow-eio3", false, "clients of Socket.IO 1 and 2 (Engine.IO 3) too")
	fs.DurationVar(&r.UpgradeTimeout, "upgrade-timeout", 10*time.Second, "`time` for a client to change from polling to websocket")
	fs.Var(&r.namespaces, "namespaces", "Socket.IO `namespaces` that clients may open, comma-separated; * for all (default /)")
	fs.DurationVar(&r.PingInterval, "ping-interval", 25*time.Second, "`time` between heartbeats of a client")
	fs.DurationVar(&r.PingTimeout, "ping-timeout", 20*time.Second, "`time` for the answer to a heartbeat")
	fs.DurationVar(&r.ConnectTimeout, "connect-timeout", 45*time.Second, "`time` for a Socket.IO client to open a namespace")
	r.maxPayload = 1_000_000
	fs.Var(&r.maxPayload, "max-payload", "`bytes` of one client message")
	r.queueBytes = 1 << 20
	fs.Var(&r.queueBytes, "queue-bytes", "`bytes` that may wait for one client before it is cut")
	fs.BoolVar(&r.Compression, "compression", false, "permessage-deflate for websocket clients that ask for it; a message is compressed once for all")
	fs.DurationVar(&r.Recovery, "recovery", 0, "`time` for which a client that lost its connection or its node may come back, to any node, and get what it missed; the same on all nodes (0: off)")
	r.Limits.flags(fs)
	fs.Var(&r.origins, "origins", "web `origins` allowed to connect, exact or *.example.com; * for all (default: same host)")
	fs.BoolVar(&r.Relay, "relay", true, "the built-in verbs join, leave, publish, broadcast, direct")
	fs.Var(&r.forward, "forward", "`events` that are emitted on to every client of the namespace, the sender too; * for all")
	fs.Var(&r.apiKeys, "api-key", "`key` for the HTTP API; repeatable")
	fs.Var(&r.apiKeyFiles, "api-key-file", "`file` with a key for the HTTP API; repeatable")
	fs.BoolVar(&r.Demo, "demo", true, "the chat at /")
	fs.DurationVar(&r.Drain, "drain", 25*time.Second, "`time` over which SIGTERM moves clients away; few are moved sooner")
	fs.StringVar(&r.TLSCert, "tls-cert", "", "`file` with the certificate chain for -http; loaded again when it changes")
	fs.StringVar(&r.TLSKey, "tls-key", "", "`file` with the key of -tls-cert")
	fs.StringVar(&r.logLevel, "log-level", "info", "debug, info, warn or error")
	fs.StringVar(&r.LogFormat, "log-format", "text", "text or json")
	fs.String("config", "", "`file` of settings, one \"name value\" a line")
}

// Parse reads the options of the serving command. flag.ErrHelp means that help
// was asked for and written to help; any other error is one clear line.
func Parse(args []string, help io.Writer) (*Config, error) {
	var r raw
	fs := flag.NewFlagSet("meshrt", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	r.flags(fs)
	err := ff.Parse(fs, args, ff.WithEnvVarPrefix("MESHRT"), ff.WithConfigFileFlag("config"), ff.WithConfigFileParser(ff.PlainParser))
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(help, "Usage: meshrt [flags]\n\nServes realtime clients; nodes with -join form one cluster. Each flag can be set\nas MESHRT_NAME in the environment too. Further commands, each with -h: version,\nmembers, publish, secret, bench, check.\n\n")
		fs.SetOutput(help)
		fs.PrintDefaults()
		return nil, err
	case err != nil:
		return nil, Plain(err)
	case fs.NArg() > 0:
		return nil, fmt.Errorf("unknown command %q; see meshrt -h", fs.Arg(0))
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	fs.VisitAll(func(f *flag.Flag) { r.Settings = append(r.Settings, Setting{f.Name, shown(f, &r.Config)}) })
	return &r.Config, nil
}

// shown is the value in force as it may be printed.
func shown(f *flag.Flag, c *Config) string {
	value := f.Value.String()
	switch {
	case value == "":
		switch f.Name {
		case "node":
			return c.Node
		case "namespaces":
			return strings.Join(c.Namespaces, ",")
		case "transports":
			return strings.Join(c.Transports, ",")
		}
	case f.Name == "secret" || f.Name == "api-key":
		return "(hidden)"
	}
	return value
}

// Plain takes the prefixes of the libraries off an error.
func Plain(err error) error {
	text := err.Error()
	for _, prefix := range []string{"error parsing commandline arguments: ", "error parsing environment variables: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	text = strings.Replace(text, "flag provided but not defined:", "unknown flag", 1)
	return errors.New(strings.ReplaceAll(text, "\n", " "))
}

func (r *raw) check() (err error) {
	c := &r.Config
	c.Join, c.Namespaces, c.Origins, c.Forward, c.APIKeys = r.join, r.namespaces, r.origins, r.forward, r.apiKeys
	c.MaxPayload, c.QueueBytes = int(r.maxPayload), int(r.queueBytes)
	if c.Namespaces == nil {
		c.Namespaces = []string{"/"}
	}
	if c.Transports = r.transports; c.Transports == nil {
		c.Transports = []string{"polling", "websocket"}
	}
	for _, name := range c.Transports {
		if name != "polling" && name != "websocket" {
			return fmt.Errorf("-transports: %q is none; there are polling and websocket", name)
		}
	}
	if c.API == "off" {
		c.API = ""
	}
	if c.Profile, err = gossip.ParseProfile(r.profile); err != nil {
		return fmt.Errorf("-profile: %w", err)
	}
	if err := c.LogLevel.UnmarshalText([]byte(r.logLevel)); err != nil {
		return fmt.Errorf("-log-level %q: want debug, info, warn or error", r.logLevel)
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		return fmt.Errorf("-log-format %q: want text or json", c.LogFormat)
	}
	for name, d := range map[string]time.Duration{"ping-interval": c.PingInterval, "ping-timeout": c.PingTimeout, "connect-timeout": c.ConnectTimeout, "upgrade-timeout": c.UpgradeTimeout} {
		if d < time.Millisecond || d%time.Millisecond != 0 {
			return fmt.Errorf("-%s %v: want whole milliseconds, one or more", name, d)
		}
	}
	if c.Recovery != 0 && (c.Recovery < minRecovery || c.Recovery > maxRecovery) {
		return fmt.Errorf("-recovery %v: want 0 for none, or a time from %v to %v", c.Recovery, minRecovery, maxRecovery)
	}
	if c.Drain < 0 {
		return fmt.Errorf("-drain %v: want a time of 0 or more", c.Drain)
	}
	if err := c.Limits.check(); err != nil {
		return err
	}
	if c.MaxPayload > wire.MaxMessage {
		return fmt.Errorf("-max-payload %d: at most %d bytes are possible", c.MaxPayload, wire.MaxMessage)
	}
	if c.Node == "" {
		if c.Node, err = os.Hostname(); err != nil {
			return fmt.Errorf("-node is needed, the host has no name: %w", err)
		}
	}
	if err := gossip.CheckNames(c.Node, c.Cluster); err != nil {
		return err
	}
	return r.files()
}

// files reads what is kept out of the command line, where others could see it.
func (r *raw) files() error {
	for _, s := range r.secrets {
		r.Secrets = append(r.Secrets, []byte(s))
	}
	for _, name := range r.secretFiles {
		text, err := ReadLine(name)
		if err != nil {
			return fmt.Errorf("-secret-file: %w", err)
		}
		r.Secrets = append(r.Secrets, []byte(text))
	}
	for _, name := range r.apiKeyFiles {
		text, err := ReadLine(name)
		if err != nil {
			return fmt.Errorf("-api-key-file: %w", err)
		}
		r.APIKeys = append(r.APIKeys, text)
	}
	for _, s := range r.Secrets {
		if len(s) < 32 {
			return fmt.Errorf("-secret: a cluster secret has 32 bytes or more, this one has %d", len(s))
		}
	}
	return nil
}

// ReadLine is the only line of a file, without the space around it.
func ReadLine(name string) (string, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(b))
	if text == "" || strings.Contains(text, "\n") {
		return "", fmt.Errorf("%s: want one line", name)
	}
	return text, nil
}
