//go:build unix

package spool

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const lockEnv = "SPOOL_LOCK"

// The lock of systems without flock holds against this process and against others,
// under whatever name, and is not lost by an attempt to take it again.
func TestFcntlLock(t *testing.T) {
	if name := os.Getenv(lockEnv); name != "" { // the other process
		unlock, err := fcntlLock(name)
		if err == ErrLocked || err != nil && strings.HasPrefix(err.Error(), ErrLocked.Error()) {
			os.Exit(3)
		}
		if err != nil || unlock() != nil {
			os.Exit(4)
		}
		os.Exit(0)
	}
	dir := t.TempDir()
	name, other := filepath.Join(dir, "lock"), filepath.Join(dir, "other name")
	unlock, err := fcntlLock(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(name, other); err != nil {
		t.Fatal(err)
	}
	elsewhere := func() int {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFcntlLock$")
		cmd.Env = append(os.Environ(), lockEnv+"="+other)
		_ = cmd.Run()
		return cmd.ProcessState.ExitCode()
	}
	for _, n := range []string{name, other} {
		if _, err := fcntlLock(n); err != ErrLocked {
			t.Errorf("%s: %v", n, err)
		}
		if status := elsewhere(); status != 3 {
			t.Error("another process: exit status", status)
		}
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if status := elsewhere(); status != 0 {
		t.Error("another process, once it is free: exit status", status)
	}
	unlock, err = fcntlLock(other)
	if err != nil {
		t.Fatal(err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}
