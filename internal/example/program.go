// Package example builds and runs the examples for their tests, as they stand.
package example

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Program is an example, running in an empty directory.
type Program struct {
	// URLs are the origins that it listens at, in the order of its source.
	URLs []string

	t    testing.TB
	path string
	dir  string
	cmd  *exec.Cmd
	gone chan struct{} // closed when it has ended

	mu  sync.Mutex
	log bytes.Buffer
	err error // with which it has ended
}

// addresses are what a program listens at.
var addresses = regexp.MustCompile(`(?:localhost|127\.0\.0\.1):80\d\d`)

// Start builds the program in the directory source and starts it, with free addresses in
// the place of those in its files, and nothing else changed.
func Start(t testing.TB, source string) *Program {
	t.Helper()
	p := &Program{t: t, dir: t.TempDir()}
	files := sources(t, source)
	free := map[string]string{}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		files[file] = addresses.ReplaceAllFunc(files[file], func(was []byte) []byte {
			host, _, _ := strings.Cut(string(was), ":")
			if free[string(was)] == "" {
				free[string(was)] = net.JoinHostPort(host, FreePort(t))
				p.URLs = append(p.URLs, "http://"+free[string(was)])
			}
			return []byte(free[string(was)])
		})
	}
	if len(p.URLs) == 0 {
		t.Fatalf("%s has no address that could be replaced", source)
	}
	p.build(source, files)
	p.start()
	p.Listens()
	return p
}

// sources are the files of the program.
func sources(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if path, err = filepath.Abs(path); err != nil {
			t.Fatal(err)
		}
		files[path] = text
	}
	return files
}

// FreePort returns a port that nobody listens to, and that the system gives to nobody who
// asks for any: it is used later, by a process that does not tell which one it was given.
func FreePort(t testing.TB) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(20_000 + rand.IntN(12_000))
		if ln, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			_ = ln.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return ""
}

// build builds it of these files.
func (p *Program) build(source string, files map[string][]byte) {
	p.t.Helper()
	tmp := p.t.TempDir()
	write := func(name string, data []byte) (path string) {
		path = filepath.Join(tmp, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			p.t.Fatal(err)
		}
		return path
	}
	replace := map[string]string{}
	for path, text := range files {
		replace[path] = write(filepath.Base(path), text)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		p.t.Fatal(err)
	}
	p.path = filepath.Join(tmp, "program")
	if runtime.GOOS == "windows" {
		p.path += ".exe"
	}
	build := exec.Command("go", "build", "-overlay", write("overlay.json", overlay), "-o", p.path, ".")
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		p.t.Fatalf("build: %v\n%s", err, out)
	}
}

// Next starts another process of it, in the same directory and for the same addresses.
func (p *Program) Next() *Program {
	p.t.Helper()
	next := &Program{URLs: p.URLs, t: p.t, path: p.path, dir: p.dir}
	next.start()
	return next
}

func (p *Program) start() {
	p.t.Helper()
	cmd, gone := exec.Command(p.path), make(chan struct{})
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, p, p
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.cmd, p.gone = cmd, gone
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(gone)
	}()
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-gone
	})
}

// Listens waits until it does.
func (p *Program) Listens() {
	p.t.Helper()
	for _, url := range p.URLs {
		p.until("it to listen at "+url, func() bool {
			conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
			if err == nil {
				_ = conn.Close()
			}
			return err == nil
		})
	}
}

// Signal sends it a signal.
func (p *Program) Signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Error(err)
	}
}

// End waits until it has ended, and returns with what.
func (p *Program) End() error {
	p.t.Helper()
	select {
	case <-p.gone:
	case <-time.After(time.Minute):
		p.t.Fatalf("it does not end; it says\n%s", p.Output())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Write takes what it says.
func (p *Program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

// Output is what it has said, on both streams.
func (p *Program) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// Says waits until it has said what the pattern matches, and returns its groups.
func (p *Program) Says(pattern string) (groups []string) {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	p.until("it to say "+pattern, func() bool {
		groups = re.FindStringSubmatch(p.Output())
		return groups != nil
	})
	return groups
}

// until waits for a condition while the program runs.
func (p *Program) until(what string, is func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if is() {
			return
		}
		select {
		case <-p.gone:
			if is() { // its last words
				return
			}
			p.t.Fatalf("it has ended (%v), and waited was for %s; it says\n%s", p.End(), what, p.Output())
		default:
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("waited in vain for %s; it says\n%s", what, p.Output())
		}
	}
}
