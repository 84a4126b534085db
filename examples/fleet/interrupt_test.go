//go:build unix

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestMain runs the program itself in the processes that the tests start.
func TestMain(m *testing.M) {
	if os.Getenv("BEACON_FLEET") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestInterrupt: Ctrl-C, which is for the whole process group, is an orderly end that
// leaves nothing behind.
func TestInterrupt(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-load", "1h")
	tmp := t.TempDir()
	cmd.Env = append(os.Environ(), "BEACON_FLEET=1", "TMPDIR="+tmp)
	var log bytes.Buffer
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	out := bufio.NewScanner(stdout)
	for out.Scan() && !strings.HasPrefix(out.Text(), "Receiver 3") {
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for out.Scan() {
	}
	err = cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 || !strings.Contains(log.String(), "interrupted") {
		t.Errorf("it ends with %v, and says\n%s", err, &log)
	}
	for _, files := range []string{filepath.Join(tmp, "*"), fmt.Sprintf("/var/tmp/fleet-postgresql-%d-*", cmd.Process.Pid)} {
		if left, _ := filepath.Glob(files); len(left) > 0 {
			t.Errorf("it leaves %q", left)
		}
	}
}
