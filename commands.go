package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/peterbourgon/ff/v3"

	"github.com/meshrt/meshrt/node"
	"github.com/meshrt/meshrt/web/config"
)

// command is one of the further commands.
type command struct {
	name, usage, help string
	run               func(ctx context.Context, args []string, out io.Writer) error
}

func commands() []command {
	return []command{
		{"version", "", "Prints the commit and the Go version that the program was built with.", versionCommand},
		{"members", "[flags]", "Lists the nodes of the cluster as the asked node sees them.", membersCommand},
		{"publish", "[flags] EVENT [ARGUMENT ...]", "Sends an event to the members of rooms, or to everyone in the namespace.\nAn argument that is JSON is sent as it is, any other as a string.", publishCommand},
		{"drain", "[flags]", "Moves the clients of a node to the others, over its -drain, and has it take no new ones, as a stop does; it goes on running.\nBefore maintenance: balancers see it unready. Only a restart ends it.", drainCommand},
		{"secret", "", "Prints a new cluster secret.", secretCommand},
		{"bench", "SCENARIO [flags]", benchHelp, benchCommand},
		{"check", "[flags of the server]", "Checks flags, environment and file as the server would, and prints what is in force.", checkCommand},
	}
}

// flags are those of a command: its own -h, and -json.
func (c command) flags() *flag.FlagSet {
	fs := flag.NewFlagSet("meshrt "+c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

// find is the command of that name.
func find(name string) (command, bool) {
	for _, c := range commands() {
		if c.name == name {
			return c, true
		}
	}
	return command{}, false
}

// parse reads the flags of a command; those about the API may come from the
// environment too.
func parse(name string, fs *flag.FlagSet, args []string, out io.Writer) error {
	return parseArgs(name, fs, args, out, ff.WithEnvVarPrefix("MESHRT"))
}

// parseArgs is parse with where else than from args flags may come.
func parseArgs(name string, fs *flag.FlagSet, args []string, out io.Writer, from ...ff.Option) error {
	c, _ := find(name)
	err := ff.Parse(fs, args, from...)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(out, "Usage: meshrt %s %s\n\n%s\n", c.name, c.usage, c.help)
		fs.SetOutput(out)
		fs.PrintDefaults()
		return err
	}
	if err != nil {
		return usageError{config.Plain(err)}
	}
	return nil
}

func newFlags(name string) *flag.FlagSet {
	c, _ := find(name)
	return c.flags()
}

func noArguments(fs *flag.FlagSet) error {
	if fs.NArg() > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", fs.Arg(0))}
	}
	return nil
}

func versionCommand(_ context.Context, args []string, out io.Writer) error {
	fs := newFlags("version")
	asJSON := fs.Bool("json", false, "print JSON")
	if err := parse("version", fs, args, out); err != nil {
		return err
	}
	if err := noArguments(fs); err != nil {
		return err
	}
	v := build()
	if *asJSON {
		return printJSON(out, v)
	}
	_, err := fmt.Fprintln(out, "meshrt", v.Version, v.Go, v.Platform)
	return err
}

func secretCommand(_ context.Context, args []string, out io.Writer) error {
	fs := newFlags("secret")
	asJSON := fs.Bool("json", false, "print JSON")
	if err := parse("secret", fs, args, out); err != nil {
		return err
	}
	if err := noArguments(fs); err != nil {
		return err
	}
	var b [32]byte
	rand.Read(b[:])
	secret := base64.RawURLEncoding.EncodeToString(b[:])
	if *asJSON {
		return printJSON(out, map[string]string{"secret": secret})
	}
	_, err := fmt.Fprintln(out, secret)
	return err
}

// checkCommand prints what could be a configuration file, but for what is hidden.
func checkCommand(_ context.Context, args []string, out io.Writer) error {
	asJSON := false
	var rest []string
	for _, a := range args {
		if a == "-json" || a == "--json" {
			asJSON = true
		} else {
			rest = append(rest, a)
		}
	}
	cfg, err := config.Parse(rest, out)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError{err}
	}
	if err := webConfig(cfg, discard).Validate(); err != nil {
		return usageError{err}
	}
	if asJSON {
		all := map[string]string{}
		for _, s := range cfg.Settings {
			all[s.Name] = s.Value
		}
		return printJSON(out, all)
	}
	for _, s := range cfg.Settings {
		line := s.Name + " " + s.Value
		if s.Value == "" {
			line = "# " + s.Name
		}
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

func membersCommand(ctx context.Context, args []string, out io.Writer) error {
	fs := newFlags("members")
	api := apiFlags(fs)
	asJSON := fs.Bool("json", false, "print JSON, as GET /api/nodes answers")
	if err := parse("members", fs, args, out); err != nil {
		return err
	}
	if err := noArguments(fs); err != nil {
		return err
	}
	body, err := api.call(ctx, "GET", "/api/nodes", nil)
	if err != nil {
		return err
	}
	if *asJSON {
		_, err := out.Write(body)
		return err
	}
	var list struct {
		Nodes []struct {
			Name, Boot, State, Addr string
			RTT                     float64 `json:"rtt_ms"`
			Sockets                 *int
		}
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return fmt.Errorf("answer of the API: %w", err)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSTATE\tSOCKETS\tRTT\tADDRESS\tBOOT")
	for _, n := range list.Nodes {
		sockets, rtt := "?", "-"
		if n.Sockets != nil {
			sockets = fmt.Sprint(*n.Sockets)
		}
		if n.RTT > 0 {
			rtt = fmt.Sprintf("%.2f ms", n.RTT)
		}
		fmt.Fprintln(w, strings.Join([]string{n.Name, n.State, sockets, rtt, n.Addr, n.Boot}, "\t"))
	}
	return w.Flush()
}

func publishCommand(ctx context.Context, args []string, out io.Writer) error {
	fs := newFlags("publish")
	api := apiFlags(fs)
	var rooms config.List
	fs.Var(&rooms, "room", "`room`; comma-separated or repeated for several (default: everyone in the namespace)")
	namespace := fs.String("namespace", "/", "`namespace`")
	var priority node.Priority
	fs.TextVar(&priority, "priority", node.Normal, "`priority`, high, normal or low: what goes first where messages wait")
	asJSON := fs.Bool("json", false, "print JSON")
	if err := parse("publish", fs, args, out); err != nil {
		return err
	}
	if fs.NArg() == 0 {
		return usageError{errors.New("publish needs the name of the event; see meshrt publish -h")}
	}
	list := []json.RawMessage{}
	for _, a := range fs.Args()[1:] {
		list = append(list, argument(a))
	}
	request := map[string]any{"namespace": *namespace, "event": fs.Arg(0), "args": list}
	if priority != node.Normal { // nodes of before know none
		request["priority"] = priority
	}
	path := "/api/broadcast"
	if len(rooms) > 0 {
		path, request["rooms"] = "/api/publish", rooms
	}
	body, err := api.call(ctx, "POST", path, request)
	if err != nil || !*asJSON {
		return err
	}
	_, err = out.Write(body)
	return err
}

func drainCommand(ctx context.Context, args []string, out io.Writer) error {
	fs := newFlags("drain")
	api := apiFlags(fs)
	asJSON := fs.Bool("json", false, "print JSON")
	if err := parse("drain", fs, args, out); err != nil {
		return err
	}
	if err := noArguments(fs); err != nil {
		return err
	}
	body, err := api.call(ctx, "POST", "/api/drain", struct{}{})
	if err != nil || !*asJSON {
		return err
	}
	_, err = out.Write(body)
	return err
}

// argument is the JSON that somebody at a shell means.
func argument(text string) json.RawMessage {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	quoted, _ := json.Marshal(text) // a string always has a JSON text
	return quoted
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
