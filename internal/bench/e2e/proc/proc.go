// Package proc runs the processes of a measurement: this program again, or
// another, on processors of their own, asked over their standard input.
//
// A process is asked with a line of JSON and answers with one. It ends when its
// standard input does, so that none is left when the one that started it is gone.
package proc

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// silent is how long a process may think about an answer, and grace how long it
// has to end.
var (
	silent = 2 * time.Minute
	grace  = 5 * time.Second
)

// A Process is asked one thing at a time.
type Process struct {
	PID   int
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	pipe  *os.File
	out   *bufio.Reader
	err   strings.Builder
}

// inside tells a process that Start has started it.
const inside = "BEACON_BENCH_PROCESS"

// Start starts a program that runs on the processor cpu alone, with all threads
// that it will ever have; -1 leaves it where the scheduler puts it.
func Start(cpu int, env []string, program string, args ...string) (*Process, error) {
	if os.Getenv(inside) != "" { // a program that does not look at its arguments would begin anew, and so on
		return nil, fmt.Errorf("%s: started by a process that was started to be measured", strings.Join(args, " "))
	}
	p := &Process{name: strings.Join(args, " "), cmd: exec.Command(program, args...)}
	p.cmd.Env = append(append(os.Environ(), inside+"=1"), env...)
	p.cmd.Stderr = &p.err
	p.cmd.WaitDelay = time.Second
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	pipe, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	p.cmd.Stdout = w
	p.stdin, p.pipe, p.out = stdin, pipe, bufio.NewReaderSize(pipe, 64<<10)
	if err := pinned(cpu, p.cmd.Start); err != nil {
		pipe.Close()
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	p.PID = p.cmd.Process.Pid
	return p, nil
}

// pinned calls start on a thread that may only run on one processor, which its
// children inherit.
func pinned(cpu int, start func() error) error {
	if cpu < 0 {
		return start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("processor %d: %w", cpu, err)
	}
	err := start()
	return errors.Join(err, unix.SchedSetaffinity(0, &before))
}

// Ask sends a question, if there is one, and reads the answer.
func (p *Process) Ask(question, answer any) error {
	if question != nil {
		if err := json.NewEncoder(p.stdin).Encode(question); err != nil {
			return p.broke(err)
		}
	}
	if err := p.pipe.SetReadDeadline(time.Now().Add(silent)); err != nil {
		return p.broke(err)
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return p.broke(err)
	}
	if err := json.Unmarshal(line, answer); err != nil {
		return fmt.Errorf("%s: %w: %.200q", p.name, err, line)
	}
	return nil
}

func (p *Process) broke(err error) error {
	err = errors.Join(err, p.Stop())
	return fmt.Errorf("%s broke off: %w\n%s", p.name, err, p.err.String())
}

// Stop ends the process: of itself, or after five seconds by force. The error is
// how it ended.
func (p *Process) Stop() error {
	p.stdin.Close()
	p.pipe.Close()
	force := time.AfterFunc(grace, func() { _ = p.cmd.Process.Kill() })
	defer force.Stop()
	return p.cmd.Wait()
}

// PeakRSS returns the most memory that the process had at any time.
func (p *Process) PeakRSS() (bytes int64, err error) { return p.status("VmHWM:") }

// RSS returns the memory that it has now.
func (p *Process) RSS() (bytes int64, err error) { return p.status("VmRSS:") }

func (p *Process) status(field string) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			kB, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kB << 10, err
		}
	}
	return 0, fmt.Errorf("%s: no %s in its status", p.name, field)
}

// Answer is the other side, inside a process: it calls f with each question until
// the input ends.
func Answer[Q, A any](in io.Reader, out io.Writer, f func(Q) (A, error)) error {
	questions := json.NewDecoder(in)
	for {
		var q Q
		if err := questions.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		a, err := f(q)
		if err != nil {
			return err
		}
		if err := json.NewEncoder(out).Encode(a); err != nil {
			return err
		}
	}
}
