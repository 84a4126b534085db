package attacks

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"time"
)

var full = flag.Bool("full", false, "attack for a minute in each row")

// jobEnv makes the test binary one of the other processes.
const jobEnv = "BEACON_ATTACKS_JOB"

// A job is what another process does.
type job struct {
	Server *setup  `json:",omitempty"`
	Attack *attack `json:",omitempty"`
}

// A hello is the first line that a process prints, once it is ready.
type hello struct{ Addr, Control string }

func TestMain(m *testing.M) {
	if err := raiseFiles(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if spec := os.Getenv(jobEnv); spec != "" {
		runJob(spec)
	}
	os.Exit(m.Run())
}

func runJob(spec string) {
	go func() { // the other side has ended
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	var j job
	err := json.Unmarshal([]byte(spec), &j)
	switch {
	case err != nil:
	case j.Server != nil:
		err = serve(*j.Server)
	case j.Attack != nil:
		err = j.Attack.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// say prints a line for the process that started this one.
func say(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }

// raiseFiles makes room for the connections of the largest attack.
func raiseFiles() error {
	const enough = 12_000
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	if l.Cur >= enough {
		return nil
	}
	l.Cur, l.Max = max(l.Cur, enough), max(l.Max, enough)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("this needs %d open files: %w", enough, err)
	}
	return nil
}

// length is how long an attack lasts.
func length(short time.Duration) time.Duration {
	if *full {
		return time.Minute
	}
	return short
}
