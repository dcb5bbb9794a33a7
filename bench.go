package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/meshrt/meshrt/bench"
	"github.com/meshrt/meshrt/web/config"
)

const benchHelp = `Loads a server with clients over websocket and prints what they got: latency,
counted from when a message was due, and each message that was lost, doubled or out
of order; with -pid the CPU time and memory of the server too. Exit status 1 when a
message was lost, doubled or out of order.

  fanout   -clients in one room; -publishers send -rate messages a second in all
  rooms    -rooms of -clients each; every publisher has rooms of its own
  hop      one publisher on the first URL, one client on the second; with -rate max
           as many messages as come through one stream, -window of them on their way
  idle     -clients join a room and stay: memory of the servers for each
  connect  -clients connect, -rate a second: time until each has joined
  ramp     fanout, faster by -step every -duration until p99 is over -limit or
           deliveries fall behind: the highest rate that held

Protocols: meshrt is Socket.IO with the events join(room), acknowledged, and
publish(room, event, text); socketio is the same for any Socket.IO 4 server that
handles events named -join and -publish; plain is meshrt's plain websocket; nats is
core NATS, -url tcp://host:4222. https:// is TLS, of which no certificate is checked.

A small server for Node.js that can be measured beside meshrt:

  io.on("connection", (s) => {
    s.on("join", (room, done) => { s.join(room); done(); });
    s.on("publish", (room, event, text) => s.to(room).emit(event, text));
  });

More about what is measured: bench/DESIGN.md.`

// benchFlags are the flags of one scenario, with its defaults.
type benchFlags struct {
	c         bench.Config
	urls      config.List
	pids      string
	rate      string
	asJSON    bool
	allowLoss bool
}

func (f *benchFlags) define(fs *flag.FlagSet) {
	c := &f.c
	fs.Var(&f.urls, "url", "`URL` of a server, repeated for several: clients are spread over them (default http://127.0.0.1:8080)")
	fs.StringVar(&c.Protocol, "protocol", c.Protocol, "`protocol`: "+strings.Join(bench.Protocols, ", "))
	fs.StringVar(&c.Join, "join", c.Join, "`event` to join a room, with -protocol socketio")
	fs.StringVar(&c.Publish, "publish", c.Publish, "`event` to publish, with -protocol socketio")
	fs.IntVar(&c.Clients, "clients", c.Clients, "clients, in rooms of each room")
	fs.IntVar(&c.Rooms, "rooms", c.Rooms, "rooms, in scenario rooms")
	fs.IntVar(&c.Joins, "joins", c.Joins, "rooms that each client joins, in scenario rooms")
	fs.IntVar(&c.Slow, "slow", c.Slow, "more clients in the room that read nothing, in scenario fanout")
	fs.IntVar(&c.Publishers, "publishers", c.Publishers, "connections that publish, not in the room")
	fs.StringVar(&f.rate, "rate", strconv.FormatFloat(c.Rate, 'g', -1, 64), "messages, in connect connections, `a second`; in ramp the first rate; in hop also max")
	fs.IntVar(&c.Window, "window", c.Window, "messages on their way with -rate max")
	fs.IntVar(&c.Size, "size", c.Size, "`bytes` of a message's text")
	fs.DurationVar(&c.Duration, "duration", c.Duration, "time that is measured, in ramp for each rate")
	fs.DurationVar(&c.Warmup, "warmup", c.Warmup, "time under load before")
	fs.DurationVar(&c.Tail, "tail", c.Tail, "time without a message after which the missing ones are lost")
	fs.DurationVar(&c.ConnectTimeout, "connect-timeout", c.ConnectTimeout, "time for the clients to join")
	fs.Float64Var(&c.Step, "step", c.Step, "ramp: `factor` between two rates")
	fs.DurationVar(&c.Limit, "limit", c.Limit, "ramp: how high p99 may be")
	fs.StringVar(&f.pids, "pid", "", "process `ids` of all servers, comma-separated: their CPU time and memory (Linux)")
	fs.IntVar(&c.Loops, "loops", c.Loops, "threads that read")
	fs.BoolVar(&f.asJSON, "json", false, "print JSON")
	fs.BoolVar(&f.allowLoss, "allow-loss", false, "exit status 0 whatever was lost, doubled or out of order")
}

// config is what the flags ask for.
func (f *benchFlags) config() (bench.Config, error) {
	c := f.c
	c.URLs = f.urls
	if len(c.URLs) == 0 {
		c.URLs = []string{"http://127.0.0.1:8080"}
	}
	if f.rate == "max" {
		c.Unlimited = true
	} else {
		rate, err := strconv.ParseFloat(f.rate, 64)
		if err != nil {
			return c, fmt.Errorf("-rate %q: want a number or max", f.rate)
		}
		c.Rate = rate
	}
	for text := range strings.SplitSeq(f.pids, ",") {
		if text == "" {
			continue
		}
		pid, err := strconv.ParseInt(text, 10, 32)
		if err != nil || pid < 1 {
			return c, fmt.Errorf("-pid %q: want process ids, comma-separated", text)
		}
		c.PIDs = append(c.PIDs, int(pid))
	}
	return c, c.Validate()
}

func benchCommand(ctx context.Context, args []string, out io.Writer) error {
	scenario := bench.Fanout
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		scenario, args = args[0], args[1:]
	} else if len(args) == 0 || strings.TrimLeft(args[0], "-") != "h" && strings.TrimLeft(args[0], "-") != "help" {
		return usageError{fmt.Errorf("bench needs a scenario: %s; see meshrt bench -h", strings.Join(bench.Scenarios, ", "))}
	}
	f := benchFlags{c: bench.Defaults(scenario)}
	fs := newFlags("bench")
	f.define(fs)
	// Not from the environment: there, MESHRT_RATE and others are of the server.
	if err := parseArgs("bench", fs, args, out); err != nil {
		return err
	}
	if err := noArguments(fs); err != nil {
		return err
	}
	c, err := f.config()
	if err != nil {
		return usageError{err}
	}
	report, err := bench.Run(ctx, c)
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted")
	}
	if err != nil {
		return err
	}
	return f.print(report, out)
}

func (f *benchFlags) print(report *bench.Report, out io.Writer) error {
	write := report.Write
	if f.asJSON {
		write = func(out io.Writer) error { return printJSON(out, report) }
	}
	if err := write(out); err != nil {
		return err
	}
	if f.allowLoss {
		return nil
	}
	return report.Faults()
}
