package bench

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestCPUTimeOfAProcess: it is that of rusage, and of other processes too.
func TestCPUTimeOfAProcess(t *testing.T) {
	before, err := readCPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	self := ownCPU()
	for ownCPU()-self < 30*time.Millisecond { // work
	}
	after, err := readCPU(os.Getpid())
	if used := after - before; err != nil || used < 20*time.Millisecond || used > 10*time.Second {
		t.Errorf("CPU time %v, %v, want about 30ms", used, err)
	}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	pid := cmd.Process.Pid
	if used, err := readCPU(pid); err != nil || used > time.Second {
		t.Errorf("CPU time of sleep %v, %v", used, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if used, err := readCPU(pid); err == nil {
		t.Errorf("CPU time of no process: %v", used)
	}
}
