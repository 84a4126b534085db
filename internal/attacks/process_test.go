package attacks

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// in returns the setup with what else a test has for it.
func (s setup) in(t *testing.T) setup {
	if s.Sink == "spool" {
		s.Dir = t.TempDir()
	}
	return s
}

// A process is the test binary run again, as a server or as an attacker.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	hello hello
	out   *bufio.Reader
	err   strings.Builder
	ended chan struct{}
}

// start runs a job, behind the command prefix if there is one, until the end of the test.
func start(t *testing.T, j job, prefix ...string) *process {
	t.Helper()
	spec, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	args := append(prefix, os.Args[0])
	p := &process{t: t, cmd: exec.Command(args[0], args[1:]...), ended: make(chan struct{})}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GOMEMLIMIT=") && !strings.HasPrefix(v, "GOGC=") {
			p.cmd.Env = append(p.cmd.Env, v)
		}
	}
	p.cmd.Env = append(p.cmd.Env, jobEnv+"="+string(spec))
	p.cmd.Stderr = &p.err
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	p.cmd.Stdout = w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // its state says how it ended
		close(p.ended)
	}()
	t.Cleanup(func() {
		stdin.Close()
		_ = p.cmd.Process.Kill()
		<-p.ended
		stdout.Close()
		if t.Failed() {
			t.Logf("the process wrote:\n%s", end(p.err.String(), 2<<10))
		}
	})
	p.out = bufio.NewReader(stdout)
	p.line(&p.hello)
	return p
}

// end is the last n bytes of s.
func end(s string, n int) string { return s[max(0, len(s)-n):] }

// line reads the next line that the process prints.
func (p *process) line(v any) {
	p.t.Helper()
	b, err := p.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		p.t.Fatalf("the process broke off: %v", err)
	}
}

// ask calls the control server.
func (p *process) ask(path string) (r report) {
	p.t.Helper()
	res, err := http.Get("http://" + p.hello.Control + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&r); err != nil {
		p.t.Fatal(err)
	}
	return r
}
