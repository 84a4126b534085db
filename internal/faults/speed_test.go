package faults

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	_ "modernc.org/sqlite"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/spool"
)

func speedOnly(t *testing.T) {
	t.Helper()
	if os.Getenv("BEACON_SPEED") == "" {
		t.Skip("BEACON_SPEED is not set")
	}
	if raceEnabled {
		t.Fatal("the race detector has its own speed")
	}
}

// A durable is something that has an event on stable storage when put returns.
type durable interface {
	put(*beacon.Event) error
	close() error
}

type durableSpool struct{ *spool.Spool }

func (s durableSpool) put(e *beacon.Event) error {
	return s.Consume(context.Background(), []beacon.Event{*e})
}

func (s durableSpool) close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // what is left is not of interest
	s.Close(ctx)
	return nil
}

func openSpool(dir string, next beacon.SinkFunc) (durable, error) {
	s, err := spool.Open(filepath.Join(dir, "spool"), next, spool.Options{MaxBytes: 8 << 30, SegmentBytes: 64 << 20})
	return durableSpool{s}, err
}

// A front gives a database the group commit that a spool has: one goroutine
// stores all events that wait, in one transaction.
type front struct {
	in     chan waiting
	done   chan struct{}
	store  func([]waiting) error
	finish func() error
}

type waiting struct {
	json []byte
	done chan error
}

func newFront(store func([]waiting) error, finish func() error) *front {
	f := &front{in: make(chan waiting, 1024), done: make(chan struct{}), store: store, finish: finish}
	go f.run()
	return f
}

func (f *front) run() {
	defer close(f.done)
	var group []waiting
	for w := range f.in {
		group = append(group[:0], w)
	gather:
		for len(group) < 1024 {
			select {
			case w, ok := <-f.in:
				if !ok {
					break gather
				}
				group = append(group, w)
			default:
				break gather
			}
		}
		err := f.store(group)
		for _, w := range group {
			w.done <- err
		}
	}
}

var signals = sync.Pool{New: func() any { return make(chan error, 1) }}

func (f *front) put(e *beacon.Event) error {
	b, err := e.AppendJSON(nil)
	if err != nil {
		return err
	}
	w := waiting{b, signals.Get().(chan error)}
	f.in <- w
	err = <-w.done
	signals.Put(w.done)
	return err
}

func (f *front) close() error {
	close(f.in)
	<-f.done
	return f.finish()
}

var bucket = []byte("events")

func openBolt(dir string) (*bbolt.DB, error) {
	db, err := bbolt.Open(filepath.Join(dir, "bolt"), 0o600, nil)
	if err != nil {
		return nil, err
	}
	return db, db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(bucket)
		return err
	})
}

type boltBatch struct {
	db *bbolt.DB
	n  atomic.Uint64
}

func (b *boltBatch) put(e *beacon.Event) error {
	text, err := e.AppendJSON(nil)
	if err != nil {
		return err
	}
	key := binary.BigEndian.AppendUint64(nil, b.n.Add(1))
	return b.db.Batch(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put(key, text) })
}

func (b *boltBatch) close() error { return b.db.Close() }

func openBoltBatch(dir string) (durable, error) {
	db, err := openBolt(dir)
	return &boltBatch{db: db}, err
}

func openBoltFront(dir string) (durable, error) {
	db, err := openBolt(dir)
	if err != nil {
		return nil, err
	}
	var n uint64
	return newFront(func(group []waiting) error {
		return db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket(bucket)
			b.FillPercent = 0.9 // keys only grow
			for _, w := range group {
				n++
				if err := b.Put(binary.BigEndian.AppendUint64(nil, n), w.json); err != nil {
					return err
				}
			}
			return nil
		})
	}, db.Close), nil
}

func openSQLite(dir string) (durable, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "sqlite")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	var journal string
	var synchronous int
	err = errors.Join(
		db.QueryRow("PRAGMA journal_mode").Scan(&journal),
		db.QueryRow("PRAGMA synchronous").Scan(&synchronous),
	)
	if err != nil || journal != "wal" || synchronous != 2 {
		return nil, fmt.Errorf("journal %q, synchronous %d: %w", journal, synchronous, err)
	}
	if _, err := db.Exec("CREATE TABLE events (n INTEGER PRIMARY KEY, event BLOB NOT NULL)"); err != nil {
		return nil, err
	}
	insert, err := db.Prepare("INSERT INTO events (event) VALUES (?)")
	if err != nil {
		return nil, err
	}
	return newFront(func(group []waiting) error {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		stmt := tx.Stmt(insert)
		for _, w := range group {
			if _, err := stmt.Exec(w.json); err != nil {
				return errors.Join(err, tx.Rollback())
			}
		}
		return tx.Commit()
	}, db.Close), nil
}

// sized returns an event whose JSON form has that many bytes.
func sized(t *testing.T, bytes int) *beacon.Event {
	t.Helper()
	now := time.Now().UTC().Round(time.Microsecond)
	e := &beacon.Event{ID: "0198f2b0-0000-7000-8000-000000000000", Name: "pageview", Time: now, Received: now,
		Request: beacon.Request{Method: "POST", Path: "/_pb"}, Body: beacon.Text("")}
	b, err := e.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	e.Body = beacon.Text(filler[:bytes-len(b)])
	b, err = e.AppendJSON(nil)
	if err != nil || len(b) < bytes-20 || len(b) > bytes+20 {
		t.Fatalf("event of %d bytes, want about %d (error: %v)", len(b), bytes, err)
	}
	return e
}

// A sample is what one round measured.
type sample struct {
	rate     float64 // events or requests a second
	cpu      float64 // µs of CPU for each
	p50, p99 time.Duration
}

func median(samples []sample, of func(sample) float64) float64 {
	v := make([]float64, len(samples))
	for i, s := range samples {
		v[i] = of(s)
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func rate(s sample) float64  { return s.rate }
func cpu(s sample) float64   { return s.cpu }
func p50(s sample) float64   { return float64(s.p50.Microseconds()) / 1000 }
func p99(s sample) float64   { return float64(s.p99.Microseconds()) / 1000 }
func selfCPU() time.Duration { return usage(syscall.RUSAGE_SELF) }
func usage(who int) time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(who, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestSpeedStores compares a spool with databases that are as durable, with the
// same event of 300 bytes, in the same place, one after the other in each round.
func TestSpeedStores(t *testing.T) {
	speedOnly(t)
	base := realDisk(t)
	t.Logf("fdatasync of 300 appended bytes, preallocated: p50 %v, p99 %v", disk(t, base, 0.5), disk(t, base, 0.99))

	e := sized(t, eventBytes)
	stores := []struct {
		name string
		open func(dir string) (durable, error)
	}{
		{"spool, next is down", func(dir string) (durable, error) {
			return openSpool(dir, func(context.Context, []beacon.Event) error { return errors.New("down") })
		}},
		{"spool, delivering to a next that does nothing", func(dir string) (durable, error) {
			return openSpool(dir, func(context.Context, []beacon.Event) error { return nil })
		}},
		{"bbolt, DB.Batch", openBoltBatch},
		{"bbolt, one Update for all that wait", openBoltFront},
		{"SQLite WAL, synchronous FULL, one transaction for all that wait", openSQLite},
	}
	rounds, length := pick(3, 7), pick(500*time.Millisecond, time.Second)
	var table strings.Builder
	fmt.Fprintf(&table, "| store | writers | events/s (median of %d) | p50 ms | p99 ms | CPU µs/event |\n|---|--:|--:|--:|--:|--:|\n", rounds)
	for _, writers := range []int{1, 16, 64, 256} {
		samples := make([][]sample, len(stores))
		for round := range rounds {
			for k := range stores {
				i := (round + k) % len(stores) // nobody is always first
				s := stores[i]
				dir, err := os.MkdirTemp(base, "")
				if err != nil {
					t.Fatal(err)
				}
				d, err := s.open(dir)
				if err != nil {
					t.Fatalf("%s: %v", s.name, err)
				}
				drive(t, d, e, writers, 100*time.Millisecond)
				samples[i] = append(samples[i], drive(t, d, e, writers, length))
				if err := d.close(); err != nil {
					t.Errorf("%s: %v", s.name, err)
				}
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
				syscall.Sync() // what one leaves to be written is not the next one's
			}
		}
		for i, s := range stores {
			fmt.Fprintf(&table, "| %s | %d | %.0f | %.2f | %.2f | %.2f |\n", s.name, writers,
				median(samples[i], rate), median(samples[i], p50), median(samples[i], p99), median(samples[i], cpu))
		}
	}
	t.Logf("\n%s", &table)
}

// drive has writers put an event again and again.
func drive(t *testing.T, d durable, e *beacon.Event, writers int, length time.Duration) sample {
	t.Helper()
	took := make([][]time.Duration, writers)
	var wg sync.WaitGroup
	var failed atomic.Value
	begin, used := time.Now(), selfCPU()
	for w := range writers {
		wg.Go(func() {
			for at := begin; at.Sub(begin) < length; {
				if err := d.put(e); err != nil {
					failed.Store(err.Error())
					return
				}
				now := time.Now()
				took[w] = append(took[w], now.Sub(at))
				at = now
			}
		})
	}
	wg.Wait()
	wall, used := time.Since(begin), selfCPU()-used
	if failed.Load() != nil {
		t.Error(failed.Load())
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	n := float64(len(all))
	return sample{n / wall.Seconds(), float64(used.Nanoseconds()) / 1000 / n, all[len(all)/2], all[len(all)*99/100]}
}

// disk returns a quantile of what one sync takes.
func disk(t *testing.T, dir string, quantile float64) time.Duration {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "raw"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, 1<<20); err != nil {
		t.Fatal(err)
	}
	var took []time.Duration
	for i := range 1000 {
		begin := time.Now()
		if _, err := f.WriteAt(make([]byte, eventBytes), int64(i*eventBytes)); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	return took[int(quantile*float64(len(took)-1))]
}

// chromium is what Chromium sends for a FormData of three fields.
func chromium() (headers map[string]string, body string) {
	const boundary = "----WebKitFormBoundaryTmAdoUlni2Uu1c8W"
	var b bytes.Buffer
	for _, f := range [][2]string{{"start", "1700000000000"}, {"end", "1700000012345"}, {"msg", "session ended after a click on save and the end"}} {
		fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", boundary, f[0], f[1])
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return map[string]string{
		"Content-Type":       "multipart/form-data; boundary=" + boundary,
		"User-Agent":         "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
		"Accept":             "*/*",
		"Accept-Encoding":    "gzip, deflate, br, zstd",
		"Accept-Language":    "en-US,en;q=0.9",
		"Origin":             "http://localhost",
		"Referer":            "http://localhost/",
		"Sec-Fetch-Site":     "same-origin",
		"Sec-Fetch-Mode":     "no-cors",
		"Sec-Fetch-Dest":     "empty",
		"Sec-Ch-Ua-Platform": `"Linux"`,
		"Sec-Ch-Ua-Mobile":   "?0",
	}, b.String()
}
