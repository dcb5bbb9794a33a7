package gossip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"time"
)

const (
	saveEvery   = 5 * time.Second  // at most, while members change
	saveAtLeast = 10 * time.Minute // while they do not, for the ages
)

// peersFile keeps the address book over the end of the process. Whatever is wrong with
// the file is told and no reason to stop: the node works without it.
type peersFile struct {
	path, cluster string
	log           *slog.Logger
	count         *counters
	foreign       bool // not ours: never written
	failing       bool // the operator was told; belongs to run

	saved []netip.AddrPort // what was last given to run; belongs to the rejoin loop
	last  time.Time
	next  chan []byte // capacity one: to be written
}

func newPeersFile(cfg *Config, count *counters) *peersFile {
	return &peersFile{path: cfg.PeersFile, cluster: cfg.Cluster, log: cfg.Logger.With("file", cfg.PeersFile), count: count, next: make(chan []byte, 1)}
}

// load reads the file, if there is one.
func (f *peersFile) load() []peer {
	if f.path == "" {
		return nil
	}
	b, err := readSome(f.path, maxPeersFile+1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var ps []peer
	var bad int
	if err == nil {
		ps, bad, err = parsePeers(f.cluster, b)
	}
	switch {
	case errors.Is(err, errForeign):
		f.foreign = true
		f.log.Warn("peers file is not one of this cluster; neither read nor written", "cluster", f.cluster)
	case err != nil:
		f.log.Warn("cannot read the peers file; going on without", "err", err)
	case bad > 0:
		f.log.Warn("peers file is damaged; using what is left", "peers", len(ps), "damaged", bad)
	default:
		f.log.Info("peers file read", "peers", len(ps))
	}
	return ps
}

// readSome reads at most limit bytes of a file, which may be a device without an end.
func readSome(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, limit))
}

// offer gives the book to run when it is worth writing, or at the end. It never blocks.
func (f *peersFile) offer(now time.Time, ps []peer, end bool) {
	if f.path == "" || f.foreign || len(ps) == 0 {
		return // whoever never met anybody would forget all for nothing
	}
	as := make([]netip.AddrPort, len(ps))
	for i, p := range ps {
		as[i] = p.addr
	}
	slices.SortFunc(as, netip.AddrPort.Compare)
	old := now.Sub(f.last)
	if !end && (old < saveEvery || old < saveAtLeast && slices.Equal(as, f.saved)) {
		return
	}
	f.saved, f.last = as, now
	select {
	case <-f.next: // run is slow, and this is newer
	default:
	}
	f.next <- formatPeers(f.cluster, ps)
}

// run writes what is offered until ctx ends and what was offered before is written.
func (f *peersFile) run(ctx context.Context) {
	for {
		select {
		case b := <-f.next:
			f.save(b)
		case <-ctx.Done():
			select {
			case b := <-f.next:
				f.save(b)
			default:
			}
			return
		}
	}
}

// save tells the operator of the first failure and of the end of them.
func (f *peersFile) save(b []byte) {
	err := replace(f.path, b)
	if err != nil {
		f.count.peersFileErrors.Add(1)
	}
	switch {
	case err != nil && !f.failing:
		f.log.Warn("cannot write the peers file; will keep trying", "err", err)
	case err == nil && f.failing:
		f.log.Info("peers file written again")
	}
	f.failing = err != nil
}

// replace writes a file so that after a crash there is the old or the new one, whole.
func replace(path string, b []byte) error {
	temp := path + ".tmp"
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(b)
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		os.Remove(temp)
		return fmt.Errorf("replace peers file: %w", err)
	}
	return nil
}
