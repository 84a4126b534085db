package metrics

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	beaconprom "github.com/pagebeacon/beacon/connect/prometheus"
	"github.com/pagebeacon/beacon/spool"
)

// childDir is the directory of the spool if this process is not to test, but to be a site.
const childDir = "BEACON_METRICS_SPOOL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := serve(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serve is a site with a spool and /metrics, until its standard input ends.
func serve(dir string) error {
	events, err := spool.Open(dir, new(beacontest.Recorder), spool.Options{})
	if err != nil {
		return err
	}
	h, err := beacon.New(beacon.Config{Sink: events})
	if err != nil {
		return err
	}
	c, err := beaconprom.New(beaconprom.Options{Handlers: map[string]*beacon.Handler{"": h}, Spools: map[string]*spool.Spool{"": events}})
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	if err := registry.Register(c); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", h)
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := httptest.NewServer(mux)
	fmt.Println(server.URL)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// While the disk hangs in a sync, scrapes are answered and say for how long it has.
func TestScrapeDoesNotWaitForTheDisk(t *testing.T) {
	const hang = 5 * time.Minute // longer than the test: what waited for it would be noticed
	dir := t.TempDir()
	exe, err := os.Executable()
	must(t, err)
	// strace counts the calls of each thread: the 20th of any of them hangs.
	cmd := exec.Command("strace", "-f", "-qq", "--seccomp-bpf", "-o", filepath.Join(dir, "trace"), "-e", "signal=none", "-e", "trace=fdatasync",
		"-e", fmt.Sprintf("inject=fdatasync:delay_enter=%d:when=20+", hang.Microseconds()), exe)
	cmd.Env = append(os.Environ(), childDir+"="+filepath.Join(dir, "spool"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = os.Stderr
	_, err = cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // strace, and what it traces
		_ = cmd.Wait()
	}()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	must(t, err)
	site := strings.TrimSpace(line)

	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	defer load.Wait()
	defer cancel()
	load.Go(func() {
		for ctx.Err() == nil {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			if r, err := http.NewRequestWithContext(ctx, "POST", site, strings.NewReader("x")); err == nil {
				if w, err := http.DefaultClient.Do(r); err == nil {
					w.Body.Close()
				}
			}
			cancel()
		}
	})

	syncing := regexp.MustCompile(`(?m)^beacon_spool_syncing_seconds\{name=""\} (.*)$`)
	eventually(t, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), patience/2)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "GET", site+"/metrics", nil)
		must(t, err)
		w, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatalf("a scrape was not answered: %v", err)
		}
		defer w.Body.Close()
		page, err := io.ReadAll(w.Body)
		must(t, err)
		m := syncing.FindSubmatch(page)
		if m == nil {
			t.Fatalf("no time of syncs:\n%s", page)
		}
		if took, err := strconv.ParseFloat(string(m[1]), 64); err != nil || took < 2 {
			return fmt.Errorf("the disk does not hang: %s seconds", m[1])
		}
		if !strings.Contains(string(page), `beacon_requests_total{name="",outcome="failed"}`) || strings.Contains(string(page), `beacon_requests_total{name="",outcome="failed"} 0`) {
			return errors.New("no beacon was refused")
		}
		return nil
	})
}
