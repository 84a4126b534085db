package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// startPostgreSQL starts a server of its own in a temporary directory, on a socket there,
// that ends with this program, however that ends.
func startPostgreSQL(ctx context.Context) (dsn string, stop func() error, err error) {
	bin, err := findPostgreSQL()
	if err != nil {
		return "", nil, err
	}
	// PostgreSQL does not run as root: then the directory is another user's, who has to get
	// there, which the one of everything else may not allow.
	dir, err := os.MkdirTemp("/var/tmp", fmt.Sprintf("fleet-postgresql-%d-", os.Getpid()))
	if err != nil {
		return "", nil, err
	}
	remove := func() error { return os.RemoveAll(dir) }
	owner, err := unprivileged(dir)
	if err != nil {
		return "", nil, errors.Join(err, remove())
	}
	data := filepath.Join(dir, "data")
	command := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir = dir
		// A group of its own: Ctrl-C is for this program, which needs the database until
		// it has come to its end.
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner, Setpgid: true}
		return cmd
	}
	initdb := command("initdb", "-D", data, "-U", "fleet", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return "", nil, errors.Join(fmt.Errorf("initdb: %w\n%s", err, out), remove())
	}
	server := command("postgres", "-D", data, "-c", "listen_addresses=", "-c", "unix_socket_directories="+dir)
	server.SysProcAttr.Pdeathsig = syscall.SIGQUIT // which is at once, and in order
	started, exited := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // that signal is sent when the thread ends that has started it
		err := server.Start()
		started <- err
		if err == nil {
			_ = server.Wait()
			close(exited)
		}
	}()
	if err := <-started; err != nil {
		return "", nil, errors.Join(err, remove())
	}
	stop = func() error {
		_ = server.Process.Signal(syscall.SIGQUIT)
		<-exited
		return remove()
	}
	dsn = "host=" + dir + " user=fleet dbname=postgres"
	if err := answers(ctx, dsn); err != nil {
		return "", nil, errors.Join(err, stop())
	}
	return dsn, stop, nil
}

// findPostgreSQL returns the directory of the newest server that is installed.
func findPostgreSQL() (string, error) {
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		return "", errNoPostgreSQL
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
}

// unprivileged returns the user that a server has to run as, whom it gives the directory:
// this one, unless it is root.
func unprivileged(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	owner := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return owner, errors.Join(err1, err2, os.Chown(dir, int(uid), int(gid)))
}

// answers waits until the server does.
func answers(ctx context.Context, dsn string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, dsn)
		if err == nil {
			return conn.Close(ctx)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("PostgreSQL does not answer: %w", err)
		}
		wait(ctx, 20*time.Millisecond)
	}
}
