//go:build linux

package netlab

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	device    = "net0"
	ownThread = "/proc/thread-self/ns/net"
)

// apart runs f on a thread of its own, which may change its network namespace
// meanwhile. A thread that cannot be brought back ends with its goroutine.
func apart(f func() error) error {
	failed := make(chan error)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open(ownThread)
		if err != nil {
			failed <- fmt.Errorf("own namespace: %w", err)
			return
		}
		defer home.Close()
		err = f()
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		failed <- err
	}()
	return <-failed
}

// newNamespace makes a namespace without a name, which lives as long as the file
// or a process in it does, with a device that has node i's addresses.
func newNamespace(i int) (ns, dev *os.File, err error) {
	err = apart(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("new namespace: %w", err)
		}
		if dev, err = openTUN(); err != nil {
			return err
		}
		if err := configure(i); err != nil {
			return err
		}
		ns, err = os.Open(ownThread)
		return err
	})
	if err != nil && dev != nil {
		dev.Close()
	}
	return ns, dev, err
}

// openTUN makes the device of the namespace that the thread is in. It goes when
// the file is closed.
func openTUN() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	ifr, err := unix.NewIfreq(device)
	if err == nil {
		ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("new TUN device: %w", err)
	}
	return os.NewFile(uintptr(fd), device), nil
}

// configure gives the namespace that the thread is in its addresses.
func configure(i int) error {
	ip := exec.Command("ip", "-batch", "-")
	ip.Stdin = strings.NewReader(fmt.Sprintf("link set lo up\naddr add %v/24 dev %s\naddr add %v/64 dev %s nodad\nlink set %s mtu 1500 up\n",
		addr4(i), device, addr6(i), device, device))
	if out, err := ip.CombinedOutput(); err != nil {
		return fmt.Errorf("configure node %d: %w: %s", i, err, out)
	}
	return nil
}

// enter brings the thread into a namespace.
func enter(ns *os.File) error {
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace: %w", err)
	}
	return nil
}
