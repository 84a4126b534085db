package stores

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Server is a database server of this process, in a temporary directory, that listens
// on a socket there only, or else on the loopback. It ends with the process, however that ends.
type Server struct {
	dir    string
	owner  *syscall.Credential // nil is who runs this
	driver string
	admin  string // the name of a database that is always there

	port int // on the loopback, of ClickHouse, which has no socket

	path string
	args []string
	stop syscall.Signal // ends it at once, and without what a kill would leave behind

	cmd    *exec.Cmd
	log    string
	exited chan struct{}
}

const startTimeout = 60 * time.Second

// Shared is where servers have their files; a test may set it, for those that start then.
// It is on a disk, its name is short enough for a socket, and the user of a server gets
// there, which a checkout need not let it.
var Shared = "/var/tmp"

// StartPostgreSQL starts a server with all that Debian has it do for durability. Its
// default collation is not bytewise.
func StartPostgreSQL() (*Server, error) {
	const bin = "/usr/lib/postgresql/15/bin/"
	s, err := newServer("postgres")
	if err != nil {
		return nil, err
	}
	data := filepath.Join(s.dir, "data")
	s.driver, s.admin, s.stop = "pgx", "postgres", syscall.SIGQUIT // which frees its shared memory
	s.path, s.args = bin+"postgres", []string{
		"-D", data, "-c", "listen_addresses=", "-c", "unix_socket_directories=" + s.dir,
		"-c", "max_connections=200", "-c", "shared_buffers=128MB",
	}
	err = s.run(bin+"initdb", "-D", data, "-U", "beacon", "-A", "trust", "--no-sync", "--no-instructions",
		"-E", "UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")
	return s.started(err)
}

// StartMariaDB starts a server with its own defaults.
func StartMariaDB(options ...string) (*Server, error) {
	s, err := newServer("mysql")
	if err != nil {
		return nil, err
	}
	data := filepath.Join(s.dir, "data")
	s.driver, s.admin, s.stop = "mysql", "mysql", syscall.SIGKILL
	s.path, s.args = "/usr/sbin/mariadbd", append([]string{
		"--no-defaults", "--datadir=" + data, "--socket=" + filepath.Join(s.dir, "socket"),
		"--pid-file=" + filepath.Join(s.dir, "pid"), "--skip-networking", "--max-connections=200",
	}, options...)
	err = s.run("/usr/bin/mariadb-install-db", "--no-defaults", "--datadir="+data,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	return s.started(err)
}

// newServer makes a directory for a server. Root cannot run one: the user of that name
// does, which the packages of Debian make, or else nobody.
func newServer(name string) (*Server, error) {
	prefix := "beacon-" + name + "-"
	removeStale(prefix)
	dir, err := os.MkdirTemp(Shared, fmt.Sprintf("%s%d-", prefix, os.Getpid()))
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, log: filepath.Join(dir, "log"), exited: make(chan struct{})}
	if os.Getuid() != 0 {
		return s, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	s.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return s, errors.Join(err1, err2, os.Chown(dir, int(uid), int(gid)))
}

// removeStale removes the directories of processes that had no time for it.
func removeStale(prefix string) {
	dirs, _ := filepath.Glob(filepath.Join(Shared, prefix+"*-*"))
	for _, dir := range dirs {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
		if n, err := strconv.Atoi(pid); err == nil && syscall.Kill(n, 0) == syscall.ESRCH {
			os.RemoveAll(dir)
		}
	}
}

// run runs a program that ends.
func (s *Server) run(path string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env = s.dir, s.env()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", path, err, out)
	}
	return nil
}

func (s *Server) env() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "HOME=" + s.dir, "TMPDIR=" + s.dir}
}

// started starts the server, unless what came before failed.
func (s *Server) started(err error) (*Server, error) {
	if err == nil {
		err = s.Start()
	}
	return s.ready(err)
}

// ready takes the server for one of this process, unless it has failed to start.
func (s *Server) ready(err error) (*Server, error) {
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	mu.Lock()
	running = append(running, s)
	mu.Unlock()
	return s, nil
}

// Start starts a server that was killed, and waits until it answers.
func (s *Server) Start() error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = exec.Command(s.path, s.args...)
	s.cmd.Dir, s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = s.dir, s.env(), log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Pdeathsig: s.stop}
	s.exited = make(chan struct{})
	failed := make(chan error)
	go func() {
		// The death signal is that of the thread which started the server.
		runtime.LockOSThread()
		err := s.cmd.Start()
		failed <- err
		if err == nil {
			s.cmd.Wait()
			close(s.exited)
		}
		runtime.UnlockOSThread()
	}()
	if err := <-failed; err != nil {
		return err
	}
	return s.await()
}

func (s *Server) await() error {
	db, err := sql.Open(s.driver, s.DSN(s.admin))
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("%s ended:\n%s", s.path, s.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w\n%s", s.path, err, s.tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tail returns the end of what the server logged.
func (s *Server) tail() []byte {
	b, _ := os.ReadFile(s.log)
	if i := len(b) - 2000; i > 0 {
		b = b[i:]
	}
	return bytes.TrimSpace(b)
}

// DSN returns how sql.Open opens one of the server's databases.
func (s *Server) DSN(database string) string {
	if s.driver == "pgx" {
		return "host=" + s.dir + " user=beacon dbname=" + database
	}
	if s.driver == "clickhouse" {
		return s.url(database)
	}
	return "root@unix(" + filepath.Join(s.dir, "socket") + ")/" + database
}

// exec runs one statement on a connection of its own.
func (s *Server) exec(statement string) error {
	db, err := sql.Open(s.driver, s.DSN(s.admin))
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(statement)
	return err
}

// Running says whether the server has not ended, by itself or by Kill.
func (s *Server) Running() bool {
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// Kill ends the server as a crash does, with all its processes.
func (s *Server) Kill() error {
	// PostgreSQL's are no group.
	pids := append([]int{s.cmd.Process.Pid}, s.children()...)
	var err error
	for _, pid := range pids {
		if e := syscall.Kill(pid, syscall.SIGKILL); e != nil && e != syscall.ESRCH {
			err = errors.Join(err, e)
		}
	}
	<-s.exited
	return err
}

// children returns the processes that the server has started.
func (s *Server) children() (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if f := procStat(pid); len(f) > 1 && f[1] == strconv.Itoa(s.cmd.Process.Pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// CPU returns how much of it the processes of the server have used that run now.
func (s *Server) CPU() (used time.Duration) {
	const tick = 10 * time.Millisecond
	for _, pid := range append(s.children(), s.cmd.Process.Pid) {
		if f := procStat(pid); len(f) > 12 {
			user, _ := strconv.Atoi(f[11])
			system, _ := strconv.Atoi(f[12])
			used += time.Duration(user+system) * tick
		}
	}
	return used
}

// procStat returns the fields of /proc/pid/stat behind the name: state, parent, and so on.
func procStat(pid int) []string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.Fields(rest)
}

// Stop ends the server, and removes its directory.
func (s *Server) Stop() error {
	var err error
	if s.Running() {
		err = s.cmd.Process.Signal(s.stop)
		select {
		case <-s.exited:
		case <-time.After(10 * time.Second):
			err = errors.Join(err, s.Kill())
		}
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
