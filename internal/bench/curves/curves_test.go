package curves

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon/internal/bench/e2e/load"
	"github.com/pagebeacon/beacon/internal/bench/e2e/proc"
)

func TestMain(m *testing.M) {
	if ran, err := Child(os.Args[1:]); ran {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestCurves measures two points of each curve. That all requests were taken, or refused
// for want of room alone, that the sink got what was answered, and that no server takes
// more memory than is promised, is an error of Tables otherwise.
func TestCurves(t *testing.T) {
	dir := t.TempDir()
	var measured, drawn bytes.Buffer
	if err := Tables(&measured, Options{Dir: dir, Quick: true}); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + measured.String())
	pictures := read(t, dir)
	if len(pictures) != 6 {
		t.Errorf("%d pictures", len(pictures))
	}
	for name := range pictures {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := Tables(&drawn, Options{Dir: dir, Draw: true}); err != nil {
		t.Fatal(err)
	}
	if drawn.String() != measured.String() {
		t.Errorf("what was measured and what was kept of it differ:\n%s\n%s", &measured, &drawn)
	}
	for name, b := range read(t, dir) {
		if !bytes.Equal(b, pictures[name]) {
			t.Errorf("%s is another one when it is drawn anew", filepath.Base(name))
		}
		delete(pictures, name)
	}
	if len(pictures) > 0 {
		t.Errorf("%d pictures were not drawn anew", len(pictures))
	}
}

func read(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		if all[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestFull: a server without room for more refuses, and stays below its bound.
func TestFull(t *testing.T) {
	h, err := waitingEvents.measure(150_000, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if h.There == 0 || h.Refused == 0 || h.Taken > 0 {
		t.Errorf("%d requests are there, %d were refused, %d were taken", h.There, h.Refused, h.Taken)
	}
	if h.Peak > h.Bound || h.Peak < h.Base || h.Heap < 20<<20 || h.Heap > h.Peak {
		t.Errorf("%s at first, %s at most, %s live, %s allowed", megabytes(h.Base), megabytes(h.Peak), megabytes(h.Heap), megabytes(h.Bound))
	}
}

// TestKilled: who is killed leaves no spool on disk.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	p, _, err := serve(server{Spool: dir}, -1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil { // its standard input ends, as it does then
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left behind", dir)
	}
}

func TestExceeded(t *testing.T) {
	r := Results{Idle: []Memory{{Server: "a server", Points: []Held{{Peak: 10, Bound: 10}}}}}
	if err := r.exceeded(); err != nil {
		t.Error(err)
	}
	r.Idle[0].Points = append(r.Idle[0].Points, Held{N: 7, Peak: 3e6, Bound: 2e6})
	if err := r.exceeded(); err == nil || err.Error() != "a server with 7 connections takes 3 MB, and the bound is 2 MB" {
		t.Error(err)
	}
}

func TestBound(t *testing.T) {
	const base = 10 << 20
	if got, want := (server{}).bound(base, 1000), int64(base+22_000_000+2*(64<<20)); got != want {
		t.Errorf("%d, want %d", got, want)
	}
	if got, want := (server{Queue: true}).bound(base, 0), int64(base+2*(64<<20+64<<20)); got != want {
		t.Errorf("with a queue %d, want %d", got, want)
	}
}

// TestRefused: a rate of requests of which some are refused is none.
func TestRefused(t *testing.T) {
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n++; n == 3 { // there is one connection
			http.Error(w, "busy", http.StatusServiceUnavailable)
		} else {
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer s.Close()
	loader, err := start(loading, -1, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer loader.Stop()
	subject := subject{addr: s.Listener.Addr().String(), process: &proc.Process{PID: os.Getpid()}}
	_, err = subject.measure(loader, load.Options{Conns: 1, Window: 50 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "1 that are not 2xx, the last with 503") {
		t.Errorf("error %v", err)
	}
}

// TestDelivered: a rate of requests of which the sink did not get all is none.
func TestDelivered(t *testing.T) {
	s := &subject{}
	if err := s.start("", -1, 0); err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	if _, err := (weight{}).settled(s.process, s.addr); err != nil {
		t.Fatal(err)
	}
	s.sent = 40
	if err := s.delivered(); err != nil {
		t.Error(err)
	}
	s.sent = 39
	if err := s.delivered(); err == nil {
		t.Error("one event too many is not seen")
	}
}

// TestFiles: what the system does not allow is an error that says what to do.
func TestFiles(t *testing.T) {
	if err := files(100); err != nil {
		t.Error(err)
	}
	if err := files(1 << 40); err == nil || !strings.Contains(err.Error(), "ulimit -n") {
		t.Errorf("error %v", err)
	}
}

// TestReports: what a connection sends goes on, and is not what others send.
func TestReports(t *testing.T) {
	next := reports()
	first := string(next(7, 0))
	var last string
	for n := 1; n <= 12; n++ {
		last = string(next(7, n))
		next(8, n-1)
	}
	for _, r := range []struct {
		conn, n int
		text    string
		want    []string
	}{
		{7, 0, first, []string{`"sid":"000007"`, `"n":1000000,`, `"end":1700000030000,`}},
		{7, 12, last, []string{`"sid":"000007"`, `"n":1000012,`, `"at":1700000030012,`, `"t":1700000030012,`, `"end":1700000030012,`}},
		{8, 12, string(next(8, 12)), []string{`"sid":"000008"`, `"n":1000012,`}},
	} {
		for _, want := range r.want {
			if !strings.Contains(r.text, want) {
				t.Errorf("request %d of connection %d has no %s: %s", r.n, r.conn, want, r.text)
			}
		}
		_, body, _ := strings.Cut(r.text, "\r\n\r\n")
		if !strings.Contains(r.text, fmt.Sprintf("Content-Length: %d\r\n", len(body))) || !json.Valid([]byte(body)) {
			t.Errorf("request %d of connection %d: %s", r.n, r.conn, r.text)
		}
	}
}

func TestOthers(t *testing.T) {
	got, err := everybody("cpu  100 20 3 5000 600 7 8 9 50 60\ncpu0 1 2\n")
	if want := (100 + 20 + 3 + 7 + 8 + 9) * 10 * time.Millisecond; err != nil || got != want {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for _, stat := range []string{"", "cpu 1 2 3", "cpu 1 2 x 4 5 6 7 8"} {
		if _, err := everybody(stat); err == nil {
			t.Errorf("%q is no error", stat)
		}
	}
	w, err := watchOthers()
	if err != nil {
		t.Fatal(err)
	}
	if share, err := w.share(); err != nil || share < 0 {
		t.Error(share, err)
	}
	r := Results{Connections: []Rate{{Points: []Load{{Rounds: []Round{{Others: 0.1}, {Others: 0.7}, {Others: 0.2}}}}}}}
	if got := r.others(); !strings.Contains(got, " 20 % ") {
		t.Error(got)
	}
}

func TestBest(t *testing.T) {
	of := func(vs ...float64) (all []Round) {
		for _, v := range vs {
			all = append(all, Round{PerSecond: v, CPU: time.Duration(v) * time.Microsecond})
		}
		return all
	}
	p, alone := of(5, 1, 4, 2, 3), of(10, 10, 2, 9, 9)
	for _, test := range []struct {
		quantity
		best, median float64
		share        string
	}{{rate, 5, 3, " (0.50)"}, {cpu, 1, 3, " (2.00)"}} {
		best, median := test.quantity.best(p)
		if best != test.best || math.Abs(median-test.median) > 1e-9 {
			t.Errorf("best %v, median %v, want %v and %v", best, median, test.best, test.median)
		}
		if got := share(p, alone, test.quantity); got != test.share {
			t.Errorf("a share of %q, want %q", got, test.share)
		}
		if got := share(p, p, test.quantity); got != "" {
			t.Errorf("of itself %q", got)
		}
	}
}
