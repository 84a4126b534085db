package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/pagebeacon/beacon/internal/bench/e2e/load"
	"github.com/pagebeacon/beacon/internal/bench/e2e/proc"
)

func TestMain(m *testing.M) {
	ran, err := Child(os.Args[1:])
	if !ran {
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// delivers is what a server should have got, in its words.
func (r *row) delivers(t *testing.T) string {
	body := forms[r.form]
	if r.kind == floor || r.kind == fastFloor {
		return fmt.Sprint(len(body.Data), " bytes")
	}
	switch r.form {
	case multipart:
		return formText(1700000000000, 1700000012345, "session ended after a click on save")
	case urlencoded:
		return formText(1700000000000, 1700000012345, `session ended after a click on "save"`)
	case anEnvelope:
		var v struct {
			Ev []struct {
				N uint64          `json:"n"`
				E string          `json:"e"`
				D json.RawMessage `json:"d"`
			}
		}
		if err := json.Unmarshal(body.Data, &v); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, e := range v.Ev {
			b.WriteString(itemText(e.N, e.E, e.D))
		}
		return b.String()
	}
	return string(body.Data)
}

// words brings what Express says that it got into those of the others.
func (r *row) words(t *testing.T, last string) string {
	if r.kind != express || r.form == aJSON {
		return last
	}
	var v struct{ Start, End, Msg string }
	if err := json.Unmarshal([]byte(last), &v); err != nil {
		t.Fatalf("%v: %q", err, last)
	}
	return formText(v.Start, v.End, v.Msg)
}

// TestDelivers: each server answers all requests with 2xx, and has got what was sent.
func TestDelivers(t *testing.T) {
	rows := subjects()
	if _, err := exec.LookPath("npm"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		rows = goRows(rows)
	}
	b, err := newBench(rows, true)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	for _, r := range rows {
		t.Run(fmt.Sprint(r.form, "/", r), func(t *testing.T) {
			if err := r.turn(b.load, load.Options{Conns: 8, Requests: 200}); err != nil {
				t.Fatal(err)
			}
			last, err := r.delivered()
			if err != nil {
				t.Fatal(err)
			}
			if got, want := r.words(t, last), r.delivers(t); got != want {
				t.Errorf("delivered\n%s\nwant\n%s", got, want)
			}
			if r.answers != 200 {
				t.Errorf("%d answers", r.answers)
			}
		})
	}
}

func goRows(rows []*row) (some []*row) {
	for _, r := range rows {
		if r.kind != express {
			some = append(some, r)
		}
	}
	return some
}

// TestRefused: a server that refuses fails the measurement, which leaves no file and no
// process either way.
func TestRefused(t *testing.T) {
	r := &row{kind: fastForm, form: aJSON, procs: 1}
	b, err := newBench([]*row{r}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	err = r.turn(b.load, load.Options{Conns: 2, Requests: 10})
	if err == nil || !strings.Contains(err.Error(), "10 of 10 answers are not 2xx, the last is 400: \"HTTP/1.1 400 Bad Request") {
		t.Errorf("error %v", err)
	}
	if _, err := r.delivered(); err == nil || !strings.Contains(err.Error(), "0 events were delivered, and 10 answered") {
		t.Errorf("error %v", err)
	}
	b.close()
	if _, err := os.Stat(b.dir); !os.IsNotExist(err) {
		t.Errorf("%s is left behind", b.dir)
	}
	if err := unix.Kill(r.process.PID, 0); err != unix.ESRCH {
		t.Errorf("the server after the end: %v", err)
	}
}

// TestKilled: who is killed leaves nothing on disk.
func TestKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bench")
	if err := os.MkdirAll(filepath.Join(dir, "0"), 0o700); err != nil {
		t.Fatal(err)
	}
	p, err := proc.Start(-1, nil, os.Args[0], "load", dir)
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

// TestTables runs the short form, and shorter: what it prints is not to be believed, but
// all of it is there.
func TestTables(t *testing.T) {
	var w strings.Builder
	err := Tables(&w, Options{Quick: true, Rounds: 2, Slice: time.Millisecond, Window: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	got := w.String()
	t.Log("\n" + got)
	for _, conns := range connections {
		if !strings.Contains(got, fmt.Sprintf(", %d connections", conns)) {
			t.Errorf("nothing about %d connections", conns)
		}
	}
	for _, r := range quick(subjects()) {
		if n := strings.Count(got, fmt.Sprintf("| %s | %s |", forms[r.form].Name, r)); n != len(connections) {
			t.Errorf("%d rows of %s", n, r)
		}
	}
	if strings.Contains(got, "NaN") || strings.Contains(got, "Inf") {
		t.Error("there are figures that are none")
	}
}

func TestWrite(t *testing.T) {
	turns := func(cpus ...[2]float64) (turns []turn) {
		for i, each := range cpus {
			r := load.Result{Answers: 1000, Elapsed: 100 * time.Millisecond, P50: time.Millisecond, P99: time.Duration(i+2) * time.Millisecond}
			r.CPU = time.Duration(each[0] * 1000 * float64(time.Microsecond))
			turns = append(turns, turn{r, 37.2 + float64(i), each[1]})
		}
		return turns
	}
	rows := []*row{
		{kind: floor, form: multipart, procs: 1, turns: turns([2]float64{9}, [2]float64{20}, [2]float64{12}), rss: 12 << 20},
		{kind: noop, form: multipart, procs: 2, turns: turns([2]float64{12.5, 10}, [2]float64{40, 20}, [2]float64{12, 12}), rss: 14 << 20},
		{kind: floor, form: aJSON, procs: 1, turns: turns([2]float64{9}, [2]float64{9}, [2]float64{9}), rss: 12 << 20},
		{kind: express, note: "express.json", form: aJSON, turns: turns([2]float64{90, 9}, [2]float64{90, 9}, [2]float64{100, 9}), rss: 99 << 20},
	}
	var w strings.Builder
	if err := write(&w, 32, rows); err != nil {
		t.Fatal(err)
	}
	const want = `### End to end over loopback, 32 connections

| body | server | CPU µs a request, median | minimum | floor/x, median of pairs | of minima | requests/s | p50 ms | p99 ms | allocations | peak MB |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|
| multipart, 3 fields | net/http, drains and answers 204 | 12.0 | 9.0 | 1 | 1 | 10,000 | 1.00 | 3.00 | 37 | 12 |
| multipart, 3 fields | **beacon**, GOMAXPROCS=2 | 12.5 | 12.0 | 0.80 | 0.83 | 10,000 | 1.00 | 3.00 | 37 | 14 |
| JSON of 282 bytes | net/http, drains and answers 204 | 9.0 | 9.0 | 1 | 1 | 10,000 | 1.00 | 3.00 | 37 | 12 |
| JSON of 282 bytes | Express, express.json | 90.0 | 90.0 | 0.10 | 0.10 | 10,000 | 1.00 | 3.00 | – | 99 |

`
	if diff := cmp.Diff(want, w.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
