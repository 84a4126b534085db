package fleet

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A process is a program that a test has started, to kill it. It ends with the test's
// process, however that ends.
type process struct {
	name   string
	cmd    *exec.Cmd
	log    string // the file that it writes its errors to
	addr   string // that it said it listens on
	exited chan struct{}
}

// start starts a program. With hello it waits until that has written its address.
func start(cmd *exec.Cmd, name, dir string, hello bool) (*process, error) {
	p := &process{name: name, cmd: cmd, log: filepath.Join(dir, name+".log"), exited: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd.Stderr, cmd.Stdout = log, log
	if hello {
		cmd.Stdout = w
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	failed := make(chan error)
	go func() {
		// The death signal is that of the thread which started the process.
		runtime.LockOSThread()
		err := cmd.Start()
		failed <- err
		if err == nil {
			_ = cmd.Wait() // its state says how it ended
			close(p.exited)
		}
		runtime.UnlockOSThread()
	}()
	if err = <-failed; err != nil || !hello {
		return p, errors.Join(err, w.Close())
	}
	w.Close()
	r.SetReadDeadline(time.Now().Add(patience))
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		p.kill()
		return nil, fmt.Errorf("%s did not start: %w\n%s", name, err, p.tail())
	}
	p.addr = strings.TrimSpace(line)
	return p, nil
}

// patience is how long anything may take that takes no time on a machine with nothing else
// to do.
const patience = 2 * time.Minute

// running says whether it has not ended.
func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// kill is kill -9. The process is gone when it returns.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL) // it may have ended
	<-p.exited
}

// stop asks it to end, and says how that went.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.kill()
		return fmt.Errorf("%s does not end", p.name)
	}
	if !p.cmd.ProcessState.Success() {
		return fmt.Errorf("%s: %v\n%s", p.name, p.cmd.ProcessState, p.tail())
	}
	return nil
}

// cpu returns how much of it the process has used.
func (p *process) cpu() time.Duration {
	if !p.running() {
		return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	}
	return cpuOf(p.cmd.Process.Pid)
}

func cpuOf(pid int) time.Duration {
	const tick = 10 * time.Millisecond
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * tick
}

// tail returns the end of what it wrote.
func (p *process) tail() string {
	b, _ := os.ReadFile(p.log)
	return string(b[max(0, len(b)-4000):])
}

const roleEnv = "BEACON_FLEET_ROLE"

// startRole starts the program that runs now again, in a role.
func startRole(r Role, dir string) (*process, error) {
	spec, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"="+string(spec))
	return start(cmd, r.Name, dir, true)
}

// A pool is the processes of one kind, each of which may be another one by now.
type pool struct {
	kind string
	make func(n int) (*process, error)

	mu   sync.Mutex
	now  []*process
	used time.Duration // CPU of those that were before
}

// start starts process n, which must not run.
func (l *pool) start(n int) error {
	p, err := l.make(n)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.now) <= n {
		l.now = append(l.now, nil)
	}
	if old := l.now[n]; old != nil {
		l.used += old.cpu()
	}
	l.now[n] = p
	return nil
}

func (l *pool) get(n int) *process {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now[n]
}

func (l *pool) all() []*process {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*process(nil), l.now...)
}

// addrs are where the processes listen.
func (l *pool) addrs() (addrs []string) {
	for _, p := range l.all() {
		addrs = append(addrs, p.addr)
	}
	return addrs
}

func (l *pool) cpu() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	used := l.used
	for _, p := range l.now {
		used += p.cpu()
	}
	return used
}

// kill ends all.
func (l *pool) kill() {
	for _, p := range l.all() {
		p.kill()
	}
}

// freePorts returns ports of the loopback address that nobody uses, and that no connection
// gets by itself while what listens there is dead. None comes twice.
func freePorts(n int) (ports []int, err error) {
	portMu.Lock()
	defer portMu.Unlock()
	for range 1000 {
		port := 20_000 + rand.IntN(12_000)
		var ln net.Listener
		if given[port] {
			continue
		}
		if ln, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
			continue
		}
		ln.Close()
		given[port] = true
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, err
}

var (
	portMu sync.Mutex
	given  = map[int]bool{}
)

func listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }
