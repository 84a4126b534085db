package proc

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

type question struct{ Do string }

type answer struct {
	PID  int
	CPUs []int
	Env  string
}

func TestMain(m *testing.M) {
	if os.Getenv("PROC_CHILD") == "" {
		os.Exit(m.Run())
	}
	err := Answer(os.Stdin, os.Stdout, func(q question) (a answer, err error) {
		switch q.Do {
		case "fail":
			return a, errors.New("no such luck")
		case "again":
			_, err := Start(-1, nil, os.Args[0])
			return a, err
		case "hang":
			time.Sleep(time.Hour)
		case "start":
			os.Unsetenv(inside)
			p, err := Start(-1, nil, os.Args[0])
			if err != nil {
				return a, err
			}
			a.PID = p.PID
			return a, nil
		}
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(0, &set); err != nil {
			return a, err
		}
		for cpu := range 1024 {
			if set.IsSet(cpu) {
				a.CPUs = append(a.CPUs, cpu)
			}
		}
		a.PID, a.Env = os.Getpid(), os.Getenv("PROC_CHILD")
		return a, nil
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	os.Exit(0)
}

// allowed are the processors that this process may use.
func allowed(t *testing.T) (cpus []int) {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	for cpu := range 1024 {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

func child(t *testing.T, cpu int) *Process {
	t.Helper()
	p, err := Start(cpu, []string{"PROC_CHILD=" + t.Name()}, os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop() })
	return p
}

func TestPinned(t *testing.T) {
	before := allowed(t)
	for _, cpu := range before[max(0, len(before)-2):] {
		p := child(t, cpu)
		var a answer
		if err := p.Ask(question{}, &a); err != nil {
			t.Fatal(err)
		}
		if a.PID != p.PID || a.Env != t.Name() || len(a.CPUs) != 1 || a.CPUs[0] != cpu {
			t.Errorf("asked %d, on processor %d: %+v", p.PID, cpu, a)
		}
		now, err := p.RSS()
		if err != nil {
			t.Fatal(err)
		}
		if peak, err := p.PeakRSS(); err != nil || now < 1<<20 || peak < now {
			t.Errorf("memory %d, at most %d, error %v", now, peak, err)
		}
		if err := p.Stop(); err != nil {
			t.Errorf("ended with %v", err)
		}
	}
	if after := allowed(t); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("this process may use %v, before %v", after, before)
	}
}

func TestBroke(t *testing.T) {
	var exit *exec.ExitError
	err := child(t, -1).Ask(question{"fail"}, new(answer))
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(err.Error(), "no such luck") {
		t.Errorf("error %v", err)
	}
	err = child(t, -1).Ask(question{"again"}, new(answer))
	if !errors.As(err, &exit) || !strings.Contains(err.Error(), "started to be measured") {
		t.Errorf("a process of a process: error %v", err)
	}
	if _, err := Start(1023, nil, os.Args[0]); err == nil {
		t.Error("started on processor 1023")
	}
}

func TestHangs(t *testing.T) {
	p := child(t, -1)
	defer func(before time.Duration) { silent = before }(silent)
	silent = 100 * time.Millisecond
	var exit *exec.ExitError
	if err := p.Ask(question{"hang"}, new(answer)); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &exit) || exit.Exited() {
		t.Errorf("error %v, want one of time, and the end by a signal", err)
	}
}

// TestOrphans: whom nobody asks any more, since the one who did was killed, ends.
func TestOrphans(t *testing.T) {
	p := child(t, -1)
	var a answer
	if err := p.Ask(question{"start"}, &a); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(a.PID, 0); err != nil || a.PID == p.PID {
		t.Fatalf("process %d of %d: %v", a.PID, p.PID, err)
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); alive(a.PID); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d goes on", a.PID)
		}
	}
}

// alive tells whether a process runs, and is not one that nobody has asked how it ended.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(b), ") Z ")
}
