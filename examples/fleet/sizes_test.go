package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pagebeacon/beacon"
	beaconnats "github.com/pagebeacon/beacon/connect/nats"
	"github.com/pagebeacon/beacon/internal/visits"
	"github.com/pagebeacon/beacon/spool"
	"github.com/pagebeacon/beacon/store"
)

// TestSizes says what an event takes, place by place: the numbers of docs/scale.md, with
// BEACON_SIZES=2000. What an event takes in one place is what it takes in another and
// something, or else this measures something else.
func TestSizes(t *testing.T) {
	t.Parallel()
	n := 20
	if text := os.Getenv("BEACON_SIZES"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	requests := browse(n)
	events := received(t, requests)
	var bodies, objects, memory float64
	for _, r := range requests {
		bodies += float64(len(r.Body))
	}
	ids := map[string]bool{}
	for _, e := range events {
		b, err := e.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		objects += float64(len(b))
		memory += float64(e.Size())
		ids[e.ID] = true
	}
	objects /= float64(len(events))
	t.Logf("%d requests of %.0f bytes are %d events, %d different ones: of %.0f bytes in memory, of %.0f as JSON",
		len(requests), bodies/float64(len(requests)), len(events), len(ids), memory/float64(len(events)), objects)
	beside := func(where string, size, least, most float64) {
		t.Helper()
		t.Logf("%s: %.0f bytes", where, size)
		if size < least*objects || size > most*objects {
			t.Errorf("which should be %.2f to %.2f times the JSON", least, most)
		}
	}
	beside("spool", spoolSize(t, events), 1, 1.1)
	beside("stream, one replica", streamSize(t, events, jetstream.NoCompression), 1, 2)
	beside("stream, one replica, S2", streamSize(t, events, jetstream.S2Compression), 0.1, 2)
	file := filepath.Join(t.TempDir(), "sqlite")
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := openSQLite(file)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, db, events)
	if err := db.end(); err != nil { // which writes the log of SQLite into the file
		t.Fatal(err)
	}
	beside("SQLite", float64(filesIn(t, file))/float64(len(ids)), 1, 4)
	postgreSQLSizes(t, events, float64(len(ids)))
}

// spoolSize is what an event takes in a spool.
func spoolSize(t *testing.T, events []beacon.Event) float64 {
	away := func(context.Context, []beacon.Event) error { return errors.New("away") }
	s, err := spool.Open(t.TempDir(), beacon.SinkFunc(away), spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	defer s.Close(over)
	for i := range events {
		if err := s.Consume(t.Context(), events[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	return float64(s.Stats().Bytes) / float64(len(events))
}

// streamSize is what a message takes on one node of the log.
func streamSize(t *testing.T, events []beacon.Event, compression jetstream.StoreCompression) float64 {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	dir := t.TempDir()
	log, err := startCluster(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer log.close()
	err = makeStream(ctx, log.urls(), beaconnats.StreamOptions{Config: func(c *jetstream.StreamConfig) { c.Compression = compression }})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := dial(log.urls())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sink, err := beaconnats.NewSink(ctx, beaconnats.SinkOptions{Conn: conn})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(events); i += 100 {
		for {
			err := sink.Consume(ctx, events[i:min(i+100, len(events))])
			if err == nil {
				break
			}
			if wait(ctx, 10*time.Millisecond); ctx.Err() != nil {
				t.Fatal(err)
			}
		}
	}
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(ctx, "beacon")
	if err != nil {
		t.Fatal(err)
	}
	return float64(filesIn(t, filepath.Join(dir, "node-1", "jetstream", "$G", "streams", "beacon"))) / float64(stream.CachedInfo().State.Msgs)
}

// postgreSQLSizes are those of packed tables.
func postgreSQLSizes(t *testing.T, events []beacon.Event, different float64) {
	db, err := openPostgreSQL(t.Context())
	if errors.Is(err, errNoPostgreSQL) && os.Getenv("CI") != "true" {
		t.Log(err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer db.end()
	fill(t, db, events)
	if _, err := db.Exec("VACUUM FULL"); err != nil {
		t.Fatal(err)
	}
	var views, ofEvents, ofViews float64
	err = db.QueryRow(`SELECT (SELECT count(*) FROM beacon_page_views),
		pg_total_relation_size('beacon_events'), pg_total_relation_size('beacon_page_views')`).Scan(&views, &ofEvents, &ofViews)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("PostgreSQL: %.0f bytes, and %.0f for each of %.0f page views", ofEvents/different, ofViews/views, views)
}

// received is what a receiver makes of requests.
func received(t *testing.T, requests []visits.Request) (events []beacon.Event) {
	keep := func(_ context.Context, e []beacon.Event) error {
		events = append(events, e...)
		return nil
	}
	h, err := newHandler(beacon.SinkFunc(keep))
	if err != nil {
		t.Fatal(err)
	}
	site, err := serve("127.0.0.1:0", h)
	if err != nil {
		t.Fatal(err)
	}
	one := player{receivers: []string{site.url()}, browsers: 1}
	if err := one.play(t.Context(), requests); err != nil {
		t.Fatal(err)
	}
	site.stop(t.Context())
	return events
}

func fill(t *testing.T, db *database, events []beacon.Event) {
	s, err := store.Open(t.Context(), db.DB, db.dialect, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(events); i += 1000 {
		if err := s.Consume(t.Context(), events[i:min(i+1000, len(events))]); err != nil {
			t.Fatal(err)
		}
	}
}

// filesIn is what the files in a directory hold.
func filesIn(t *testing.T, dir string) (bytes int64) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "-shm") {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}
