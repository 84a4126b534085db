package stores_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/store"
)

// TestNoRoomForSome fills a disk such that small events fit and large ones do not: while
// one does not, none is taken, or it would pass for poison where others are counted
// against it.
func TestNoRoomForSome(t *testing.T) {
	vol := newVolume(t, 8)
	j := newJob(t, store.SQLite)
	j.DSN = "file:" + filepath.Join(vol.dir, "beacon.db") + j.DSN[strings.Index(j.DSN, "?"):]
	r, _ := j.serve(t)
	event := func(id string, size int) []beacon.Event {
		return []beacon.Event{{ID: id, Received: time.Now(), Body: beacon.Text(strings.Repeat("x", size))}}
	}
	ctx := context.Background()
	vol.fill(t, 512<<10)
	if err := r.store.Consume(ctx, event("large", 1<<20)); err == nil {
		t.Fatal("there was room for the large one, so nothing is proven")
	} else if beacon.IsPermanent(err) {
		t.Fatal(err)
	}
	if err := r.store.Consume(ctx, event("small", 10)); err == nil {
		t.Error("a small event was taken while there was no room for the one before")
	}
	vol.relieve(t)
	if err := r.store.Consume(ctx, event("small", 10)); err != nil {
		t.Error(err)
	}
	var ids []string
	for _, e := range storedEvents(t, r.db) {
		ids = append(ids, e.ID)
	}
	if got := strings.Join(ids, " "); got != "large small" {
		t.Errorf("stored: %s", got)
	}

	// What was full once takes small ones again, when the large one is poison by then.
	vol.fill(t, 512<<10)
	if err := r.store.Consume(ctx, event("large 2", 1<<20)); err == nil {
		t.Fatal("there was room")
	}
	vol.relieve(t)
	j.run(t, "CREATE TRIGGER poison BEFORE INSERT ON beacon_events WHEN NEW.id = 'large 2' BEGIN SELECT RAISE(ABORT, 'poison'); END")
	if err := r.store.Consume(ctx, event("small 2", 10)); err != nil {
		t.Error(err)
	}
}
