package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/pagebeacon/beacon/internal/bench/bodies"
	"github.com/pagebeacon/beacon/internal/bench/e2e/load"
	"github.com/pagebeacon/beacon/internal/bench/e2e/proc"
	"github.com/pagebeacon/beacon/internal/bench/peers"
)

// A kind of server.
type kind string

const (
	floor     kind = "net/http, drains and answers 204"
	noop      kind = "**beacon**"
	batch     kind = "**beacon** + sink.Batch, before a store that takes 1 ms"
	spooled   kind = "**beacon** + spool, on disk before the 204"
	std       kind = "net/http and the standard library"
	fastFloor kind = "fasthttp, answers 204"
	fastForm  kind = "fasthttp, its own form parser"
	express   kind = "Express"
	bolt      kind = "net/http + schema + bbolt, on disk before the 204"
	sqlite    kind = "net/http + schema + SQLite, on disk before the 204"
)

// A form of body.
type form string

const (
	multipart  form = "multipart"
	urlencoded form = "urlencoded"
	aJSON      form = "JSON"
	anEnvelope form = "envelope"
)

var forms = map[form]bodies.Body{
	multipart:  bodies.Multipart(3, 0),
	urlencoded: bodies.URLEncoded(3),
	aJSON:      bodies.JSON(5),
	anEnvelope: bodies.Envelope(10),
}

// A row is a server with a body, and what was measured of it.
type row struct {
	kind  kind
	form  form
	note  string // how this kind does it
	procs int    // GOMAXPROCS
	quick bool
	goal  string // what its figure is called in the tables of others

	process *proc.Process
	addr    string
	answers int // that it gave
	turns   []turn
	rss     int64
}

// A turn is what was measured in one.
type turn struct {
	load.Result
	allocs float64
	floor  float64 // what a request cost in the turn of the floor beside it
}

func (r *row) String() string {
	name := string(r.kind)
	if r.note != "" {
		name += ", " + r.note
	}
	if r.procs > 1 {
		name += fmt.Sprintf(", GOMAXPROCS=%d", r.procs)
	}
	return name
}

// subjects are all rows. The first of each form is its floor.
func subjects() []*row {
	return []*row{
		{kind: floor, form: multipart, procs: 1, quick: true},
		{kind: noop, form: multipart, procs: 1, quick: true, goal: "e2e"},
		{kind: batch, form: multipart, procs: 1},
		{kind: spooled, form: multipart, procs: 1},
		{kind: spooled, form: multipart, procs: 2, quick: true, goal: "durable"},
		{kind: std, note: "ParseMultipartForm + schema", form: multipart, procs: 1, goal: "std"},
		{kind: fastFloor, form: multipart, procs: 1, quick: true, goal: "fasthttp"},
		{kind: fastForm, form: multipart, procs: 1},
		{kind: express, note: "multer", form: multipart, goal: "express"},
		{kind: bolt, form: multipart, procs: 1},
		{kind: bolt, form: multipart, procs: 2, goal: "bbolt"},
		{kind: sqlite, form: multipart, procs: 1},
		{kind: sqlite, form: multipart, procs: 2, goal: "sqlite"},

		{kind: floor, form: urlencoded, procs: 1},
		{kind: noop, form: urlencoded, procs: 1},
		{kind: std, note: "ParseForm + schema", form: urlencoded, procs: 1},
		{kind: fastForm, form: urlencoded, procs: 1},
		{kind: express, note: "express.urlencoded", form: urlencoded},

		{kind: floor, form: aJSON, procs: 1},
		{kind: noop, form: aJSON, procs: 1},
		{kind: std, note: "encoding/json into a struct", form: aJSON, procs: 1},
		{kind: express, note: "express.json", form: aJSON},

		{kind: floor, form: anEnvelope, procs: 1},
		{kind: noop, form: anEnvelope, procs: 1},
		{kind: std, note: "encoding/json into a struct", form: anEnvelope, procs: 1},
	}
}

func quick(rows []*row) (some []*row) {
	for _, r := range rows {
		if r.quick {
			some = append(some, r)
		}
	}
	return some
}

// start starts the server's process.
func (r *row) start(cpu int, dir string, keep bool) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	r.answers = 0
	var hello reply
	if r.kind == express {
		if _, err := os.Stat(filepath.Join(dir, "server.mjs")); err != nil {
			if err := peers.Express(dir); err != nil {
				return err
			}
		}
		node, err := exec.LookPath("node")
		if err != nil {
			return err
		}
		if r.process, err = proc.Start(cpu, []string{"NODE_ENV=production"}, node, filepath.Join(dir, "server.mjs")); err != nil {
			return err
		}
		err = r.process.Ask(nil, &hello)
		r.addr = hello.Addr
		return err
	}
	r.process, err = proc.Start(cpu, []string{fmt.Sprint("GOMAXPROCS=", r.procs), "GOGC=", "GOMEMLIMIT="}, os.Args[0], "serve")
	if err != nil {
		return err
	}
	err = r.process.Ask(question{Do: "start", Kind: r.kind, Form: r.form, Dir: dir, Keep: keep}, &hello)
	r.addr = hello.Addr
	return err
}

// turn loads the server, and takes down what that cost.
func (r *row) turn(client *proc.Process, o load.Options) error {
	var before, after reply
	if err := r.process.Ask(question{Do: "collect"}, &before); err != nil {
		return err
	}
	o.Addr, o.Request, o.PID = r.addr, forms[r.form].Post(), r.process.PID
	var t turn
	if err := client.Ask(o, &t.Result); err != nil {
		return err
	}
	if err := r.process.Ask(question{Do: "memory"}, &after); err != nil {
		return err
	}
	r.answers += t.Total
	if t.Refused > 0 {
		return fmt.Errorf("%d of %d answers are not 2xx, the last is %d: %q", t.Refused, t.Total, t.Status, t.Said)
	}
	if t.Answers == 0 {
		return fmt.Errorf("nothing was answered within %v", o.Window)
	}
	t.allocs = float64(after.Mallocs-before.Mallocs) / float64(t.Total)
	r.turns = append(r.turns, t)
	return nil
}

// delivered compares what the server has delivered with what it has answered, and
// returns the last of it if the server keeps that.
func (r *row) delivered() (last string, err error) {
	var got reply
	if err := r.process.Ask(question{Do: "events"}, &got); err != nil {
		return "", err
	}
	want := r.answers
	if r.kind != floor && r.kind != fastFloor {
		want *= forms[r.form].Events
	}
	if got.Events != want {
		return "", fmt.Errorf("%d events were delivered, and %d answered with 2xx", got.Events, want)
	}
	return got.Last, nil
}

// median is that of a figure of all turns.
func (r *row) median(of func(turn) float64) float64 { return quantile(r.turns, of, 0.5) }

func (r *row) min(of func(turn) float64) float64 { return quantile(r.turns, of, 0) }

func cpu(t turn) float64  { return float64(t.CPU) / float64(t.Answers) / float64(time.Microsecond) }
func rate(t turn) float64 { return t.Rate() }
func p50(t turn) float64  { return float64(t.P50) / float64(time.Millisecond) }
func p99(t turn) float64  { return float64(t.P99) / float64(time.Millisecond) }

func allocs(t turn) float64 { return t.allocs }
