package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pagebeacon/beacon"
)

// event returns one with a text of that many bytes.
func event(t *testing.T, id string, size int) (beacon.Event, []byte) {
	t.Helper()
	e := beacon.Event{ID: id, Body: beacon.Text(strings.Repeat("x", size))}
	line, err := e.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	return e, append(line, '\n')
}

// ids returns those of the events that are kept, and of the lines of the file.
func ids(t *testing.T, d *demo, dir string) (kept, stored []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	id := func(line []byte) string {
		var e beacon.Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%.80s: %v", line, err)
		}
		return e.ID
	}
	for line := range bytes.Lines(data) {
		stored = append(stored, id(line))
	}
	for _, e := range d.recent.all() {
		kept = append(kept, id(e))
	}
	return kept, stored
}

// TestFile: the file does not grow for ever, and has what is shown all the same.
func TestFile(t *testing.T) {
	dir := t.TempDir()
	d, _, _ := startIn(t, dir)
	const size = 300 << 10
	var sent []string
	most := int64(0)
	for i := range 50 { // 15 MB
		e, _ := event(t, fmt.Sprint(i), size)
		if err := d.consume(context.Background(), []beacon.Event{e, e}); err != nil {
			t.Fatal(err)
		}
		if err := d.consume(context.Background(), []beacon.Event{e}); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, e.ID)
		info, err := os.Stat(filepath.Join(dir, "events.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, info.Size())
	}
	if most > maxFile+4*size {
		t.Errorf("the file had %d bytes", most)
	}
	kept, stored := ids(t, d, dir)
	if n := len(kept); n == 0 || !slices.Equal(kept, sent[len(sent)-n:]) {
		t.Errorf("kept: %v", kept)
	}
	if n := len(stored); n < len(kept) || !slices.Equal(stored, sent[len(sent)-n:]) {
		t.Errorf("stored: %v", stored)
	}
	if err := d.events.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, _, _ := startIn(t, dir)
	if after, _ := ids(t, again, dir); !slices.Equal(after, kept) {
		t.Errorf("after a restart: %v, want %v", after, kept)
	}
}

// TestFileFound: whatever file there is, its last events are there again.
func TestFileFound(t *testing.T) {
	_, one := event(t, "one", 10)
	_, two := event(t, "two", 10)
	_, large := event(t, "large", 1<<20)
	for _, tt := range []struct {
		name string
		file []byte
		want []string
	}{
		{"empty", nil, nil},
		{"whole", slices.Concat(one, two), []string{"one", "two"}},
		{"torn", slices.Concat(one, two[:20]), []string{"one"}},
		{"torn, and written again", slices.Concat(one, two[:20], []byte("\n"), two), []string{"one", "two"}},
		{"twins", slices.Concat(one, two, one), []string{"one", "two"}},
		{"no events", []byte("hello\n{}\n\x00\x00"), nil},
		{"far too large", slices.Concat(one, bytes.Repeat(large, 20), two), []string{"large", "two"}},
		{"one line, and larger", bytes.Repeat([]byte("x"), 20<<20), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			name := filepath.Join(dir, "events.jsonl")
			if err := os.WriteFile(name, tt.file, 0o600); err != nil {
				t.Fatal(err)
			}
			d, _, _ := startIn(t, dir)
			kept, stored := ids(t, d, dir)
			if !slices.Equal(kept, tt.want) || !slices.Equal(stored, tt.want) {
				t.Errorf("kept %v, stored %v, want %v", kept, stored, tt.want)
			}
			e, _ := event(t, "new", 10)
			if err := d.consume(context.Background(), []beacon.Event{e}); err != nil {
				t.Fatal(err)
			}
			if _, stored := ids(t, d, dir); !slices.Equal(stored, append(slices.Clone(tt.want), "new")) {
				t.Errorf("then: %v", stored)
			}
		})
	}
}

// TestFileFails: a write that failed half-way leaves nothing between the events.
func TestFileFails(t *testing.T) {
	dir := t.TempDir()
	d, _, _ := startIn(t, dir)
	one, line := event(t, "one", 10)
	if err := os.WriteFile(filepath.Join(dir, "events.jsonl"), line[:20], 0o600); err != nil { // as much as fitted
		t.Fatal(err)
	}
	if err := d.consume(context.Background(), []beacon.Event{one}); err != nil {
		t.Fatal(err)
	}
	if _, stored := ids(t, d, dir); !slices.Equal(stored, []string{"one"}) {
		t.Errorf("stored: %v", stored)
	}
	_ = d.store.file.Close()
	two, _ := event(t, "two", 10)
	if d.consume(context.Background(), []beacon.Event{two}) == nil {
		t.Error("written to a closed file")
	}
	if kept, _ := ids(t, d, dir); !slices.Equal(kept, []string{"one"}) {
		t.Errorf("kept: %v", kept)
	}
}
