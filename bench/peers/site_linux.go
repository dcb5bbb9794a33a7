package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// site is where servers are installed and started.
type site struct {
	root string // of the repository
	here string // this folder
	bin  string // for programs that are built
	temp string // for files of a run

	meshrt, nats string // programs
	secret       string // file of the cluster's
	ports        ports
}

func newSite(root string) (*site, error) {
	root, err := filepath.Abs(root) // programs run in other folders
	if err != nil {
		return nil, err
	}
	s := &site{root: root, here: filepath.Join(root, "bench", "peers"), bin: filepath.Join(root, "bin", "peers"), ports: ports{map[string]bool{}}}
	if _, err := os.Stat(filepath.Join(s.here, "package-lock.json")); err != nil {
		return nil, fmt.Errorf("-root %s: not the repository: %w", root, err)
	}
	if err := os.MkdirAll(s.bin, 0o755); err != nil {
		return nil, err
	}
	s.temp, err = os.MkdirTemp("", "bench-peers")
	return s, err
}

func (s *site) close() { os.RemoveAll(s.temp) }

func (s *site) addresses(n int) (list []string, err error) {
	for range n {
		addr, err := s.ports.next()
		if err != nil {
			return nil, err
		}
		list = append(list, addr)
	}
	return list, nil
}

// command runs a program to its end.
func (s *site) command(ctx context.Context, dir string, env []string, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %s: %w", program, strings.Join(args, " "), bytes.TrimSpace(out), err)
	}
	return nil
}

// output is what a program prints, without the blanks around it.
func (s *site) output(ctx context.Context, program string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, program, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", program, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// debian makes sure that a program is there. RUNLEVEL=1 keeps packages from starting
// services, invoke-rc.d(8).
func (s *site) debian(ctx context.Context, program string, packages ...string) error {
	if _, err := exec.LookPath(program); err == nil {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Getuid() != 0 {
		return fmt.Errorf("%s is missing, and only root installs it where there is apt-get", program)
	}
	env := []string{"DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"}
	return errors.Join(s.command(ctx, "", env, "apt-get", "update", "-qq"),
		s.command(ctx, "", env, "apt-get", append([]string{"install", "-y", "-qq", "--no-install-recommends"}, packages...)...))
}

// npm installs the packages of package-lock.json, once.
func (s *site) npm(ctx context.Context) error {
	lock, err := os.ReadFile(filepath.Join(s.here, "package-lock.json"))
	if err != nil {
		return err
	}
	stamp := filepath.Join(s.here, "node_modules", ".lock")
	if have, err := os.ReadFile(stamp); err == nil && bytes.Equal(have, lock) {
		return nil
	}
	if err := s.command(ctx, s.here, nil, "npm", "ci", "--silent", "--no-audit", "--no-fund", "--loglevel=error"); err != nil {
		return err
	}
	return os.WriteFile(stamp, lock, 0o644)
}
