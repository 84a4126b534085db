package browsers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// workspace is a temporary directory that is home to the processes of one
// browser, and those processes.
type workspace struct {
	dir   string
	env   []string
	procs []*process
}

type process struct {
	*exec.Cmd
	exited chan struct{}
}

// newWorkspace makes the directory and an environment that has nothing but PATH
// in common with the caller's: a proxy, a session bus or a desktop's settings
// would make tests depend on the machine.
func newWorkspace() (*workspace, error) {
	dir, err := os.MkdirTemp("", "browser-")
	if err != nil {
		return nil, err
	}
	w := &workspace{dir: dir, env: []string{
		"PATH=" + os.Getenv("PATH"),
		"LANG=C.UTF-8",
		"DBUS_SESSION_BUS_ADDRESS=disabled:",
		"NO_AT_BRIDGE=1",
	}}
	for _, name := range []string{
		"HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME",
	} {
		path, err := w.mkdir(strings.ToLower(name))
		if err != nil {
			return nil, errors.Join(err, w.stop())
		}
		w.env = append(w.env, name+"="+path)
	}
	return w, nil
}

func (w *workspace) mkdir(name string) (string, error) {
	path := filepath.Join(w.dir, name)
	return path, os.Mkdir(path, 0o700)
}

// keepdir is mkdir, and no error if the directory is there from an earlier start.
func (w *workspace) keepdir(name string) (string, error) {
	path, err := w.mkdir(name)
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return path, err
}

// start runs a program in a process group of its own, so that stop reaches what
// the program starts, too. The program inherits fd3, unless nil, as number 3.
func (w *workspace) start(fd3 *os.File, name string, args ...string) (*process, error) {
	log, err := os.Create(filepath.Join(w.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{exec.Command(name, args...), make(chan struct{})}
	p.Dir, p.Env, p.Stdout, p.Stderr = w.dir, w.env, log, log
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if fd3 != nil {
		p.ExtraFiles = []*os.File{fd3}
	}
	if err := p.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.Wait()
		close(p.exited)
	}()
	w.procs = append(w.procs, p)
	return p, nil
}

// wait waits until all processes but those that serve a browser have ended.
func (w *workspace) wait(ctx context.Context) error {
	for _, p := range w.procs {
		if name := filepath.Base(p.Path); name == "Xvfb" || name == "WebKitWebDriver" {
			continue
		}
		select {
		case <-p.exited:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the end of %s: %w", p.Path, ctx.Err())
		}
	}
	return nil
}

// kill sends all processes but the display a signal that ends them.
func (w *workspace) kill(signal syscall.Signal) {
	for _, p := range w.procs {
		if filepath.Base(p.Path) != "Xvfb" {
			syscall.Kill(-p.Process.Pid, signal)
			<-p.exited
		}
	}
}

// logs returns the end of what each process printed.
func (w *workspace) logs() string {
	var b strings.Builder
	files, _ := filepath.Glob(filepath.Join(w.dir, "*.log"))
	for _, file := range files {
		data, _ := os.ReadFile(file)
		fmt.Fprintf(&b, "--- %s\n%s\n", filepath.Base(file), data[max(0, len(data)-8<<10):])
	}
	return b.String()
}

// stop ends the processes, the last one first, and removes the directory.
func (w *workspace) stop() error {
	for i := len(w.procs) - 1; i >= 0; i-- {
		w.procs[i].stop()
	}
	// A child that was just killed may be writing for a moment more.
	var err error
	for range 20 {
		if err = os.RemoveAll(w.dir); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

// stop asks before it kills, because a killed X server leaves its lock behind.
func (p *process) stop() {
	group := -p.Process.Pid
	syscall.Kill(group, syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(5 * time.Second):
	}
	syscall.Kill(group, syscall.SIGKILL)
	<-p.exited
}

// poll calls f until it succeeds, the process exits or ctx ends.
func (p *process) poll(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-p.exited:
			return fmt.Errorf("%s: %v", p.Path, p.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", p.Path, err)
		}
	}
}
