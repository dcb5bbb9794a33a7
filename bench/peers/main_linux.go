package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

type options struct {
	root, only, peers, out, lock, meshrt string
	span                                 time.Duration
	runs                                 int
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "floor" {
		fail(runFloor(os.Args[2]))
	}
	var o options
	flag.StringVar(&o.root, "root", ".", "`folder` of the repository")
	flag.StringVar(&o.only, "only", "", "`measurements`, comma-separated; all that begin so (default all)")
	flag.StringVar(&o.peers, "peers", "", "`servers`, comma-separated (default all but socketio, which is one node without an adapter)")
	flag.DurationVar(&o.span, "t", 5*time.Second, "time that is measured in each run")
	flag.IntVar(&o.runs, "n", 3, "runs of each measurement and server")
	flag.StringVar(&o.out, "out", "", "`file` without .md and .json that results are written to; measurements that are there and were not made stay")
	flag.StringVar(&o.lock, "lock", "", "`file` that is locked while something is measured")
	flag.StringVar(&o.meshrt, "meshrt", "", "`program` to measure (default: built from -root)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx); err != nil {
		stop()
		fail(err)
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-peers:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (o options) run(ctx context.Context) error {
	s, err := newSite(o.root)
	if err != nil {
		return err
	}
	defer s.close()
	s.meshrt = o.meshrt
	list, kinds, err := choose(o.only, o.peers)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	r := &rig{site: s, log: log, span: o.span, runs: o.runs, lock: &lock{name: o.lock}, held: map[string]float64{}}
	r.results = &Results{Date: today(time.Now()), Machine: machine(), Seconds: o.span.Seconds()}
	kinds = r.install(ctx, kinds)
	r.results.Version = versions(ctx, s)
	if err := ctx.Err(); err != nil {
		return err
	}
	defer r.lock.release()
	for _, m := range list {
		if err := r.turns(ctx, m, among(kinds, m.servers)); err != nil {
			fmt.Print(r.results.markdown()) // what there is, but not for -out
			return err
		}
	}
	return o.write(r.results)
}

// install installs servers and returns those that are there: what cannot be had is told
// in the results, and the others are measured.
func (r *rig) install(ctx context.Context, kinds []server) (list []server) {
	for _, k := range kinds {
		r.log.Info("install", "server", k.name)
		if err := k.install(ctx, r.site); err != nil {
			r.log.Error("not measured", "server", k.name, "err", err)
			result := r.results.of("install", k.name)
			result.Errors = append(result.Errors, err.Error())
			continue
		}
		list = append(list, k)
	}
	return list
}

// write prints the results and keeps them where -out says.
func (o options) write(r *Results) error {
	if o.out == "" {
		fmt.Print(r.markdown())
		return nil
	}
	all := &Results{Version: map[string]string{}}
	if text, err := os.ReadFile(o.out + ".json"); err == nil {
		if err := json.Unmarshal(text, all); err != nil {
			return fmt.Errorf("%s.json: %w", o.out, err)
		}
	}
	all.replace(r)
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	fmt.Print(all.markdown())
	return errors.Join(os.WriteFile(o.out+".json", append(text, '\n'), 0o644), os.WriteFile(o.out+".md", []byte(all.markdown()), 0o644))
}

// choose is the measurements and servers of -only and -peers, and only those
// servers that are measured.
func choose(only, peers string) (list []measurement, kinds []server, err error) {
	for _, m := range measurements() {
		if only == "" || slices.ContainsFunc(strings.Split(only, ","), func(x string) bool { return strings.HasPrefix(m.name, x) }) {
			list = append(list, m)
		}
	}
	for _, s := range servers() {
		wanted := peers == "" && s.name != nameSingle || slices.Contains(strings.Split(peers, ","), s.name)
		if wanted && slices.ContainsFunc(list, func(m measurement) bool { return slices.Contains(m.servers, s.name) }) {
			kinds = append(kinds, s)
		}
	}
	if len(kinds) == 0 {
		return nil, nil, fmt.Errorf("-only %q, -peers %q: nothing to measure", only, peers)
	}
	return list, kinds, nil
}

// among is the servers that a measurement is made of.
func among(kinds []server, names []string) (list []server) {
	for _, s := range kinds {
		if slices.Contains(names, s.name) {
			list = append(list, s)
		}
	}
	return list
}
