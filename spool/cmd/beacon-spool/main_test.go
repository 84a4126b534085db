package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/spool"
)

// fill makes a spool with three events that wait and one dead letter.
func fill(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	buried := make(chan struct{})
	var once sync.Once
	s, err := spool.Open(dir, beacon.SinkFunc(func(_ context.Context, evs []beacon.Event) error {
		if evs[0].ID == "bad" {
			return fmt.Errorf("%w: no such site", beacon.ErrPermanent)
		}
		once.Do(func() { close(buried) }) // or it would not be the turn of this one
		return errors.New("down")
	}), spool.Options{BatchEvents: 1, DiskTimeout: time.Hour}) // the disk may be busy
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, id := range []string{"bad", "a", "b", "c"} {
		e := beacon.Event{ID: id, Time: at, Received: at, Body: beacon.Text("text of " + id)}
		if err := s.Consume(t.Context(), []beacon.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
	<-buried
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func tool(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = run(context.Background(), args, &out, &errs)
	return status, out.String(), errs.String()
}

// TestMain is the tool itself for tests that need a process, and what they have drain
// run.
func TestMain(m *testing.M) {
	switch os.Getenv("BEACON_SPOOL") {
	case "tool":
		main()
	case "copy":
		if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
			panic(err)
		}
		os.Exit(len(os.Args) - 1) // what it is given
	}
	os.Exit(m.Run())
}

func TestTool(t *testing.T) {
	dir := fill(t)
	if status, out, _ := tool("verify", dir); status != 0 || out != "4 records, 0 damaged places\n" && out != "5 records, 0 damaged places\n" {
		t.Errorf("verify: %d\n%s", status, out)
	}
	status, out, _ := tool("print", dir)
	want := `{"v":1,"id":"a","time":"2026-01-02T03:04:05Z","received":"2026-01-02T03:04:05Z","body":{"kind":"text","text":"text of a"}}` + "\n"
	if status != 0 || strings.Count(out, "\n") != 3 || !strings.HasPrefix(out, want) {
		t.Errorf("print: %d\n%s", status, out)
	}
	_, out, _ = tool("print", "-state", "dead", dir)
	out = regexp.MustCompile(`"died":"[^"]*"`).ReplaceAllString(out, `"died":""`)
	want = `{"died":"","why":"permanent failure: no such site","event":{"v":1,"id":"bad","time":"2026-01-02T03:04:05Z","received":"2026-01-02T03:04:05Z","body":{"kind":"text","text":"text of bad"}}}` + "\n"
	if d := cmp.Diff(want, out); d != "" {
		t.Error(d)
	}
	_, out, _ = tool("list", dir)
	if !regexp.MustCompile(`\.seg +\d+ +3 +1? *`).MatchString(out) || !regexp.MustCompile(`\.dead +\d+ +0 +0 +1 +0 +0`).MatchString(out) {
		t.Errorf("list:\n%s", out)
	}
}

func TestToolFindsDamage(t *testing.T) {
	dir := fill(t)
	segs, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(segs) != 1 {
		t.Fatal(segs, err)
	}
	b, err := os.ReadFile(segs[0])
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte(`"text of b"`))] ^= 1
	if err := os.WriteFile(segs[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	status, out, _ := tool("verify", dir)
	if status != 1 || !strings.Contains(out, "checksum") || !strings.HasSuffix(out, "1 damaged places\n") {
		t.Errorf("verify: %d\n%s", status, out)
	}
	status, out, errs := tool("print", dir)
	if status != 1 || strings.Count(out, "\n") != 2 || strings.Contains(out, `"id":"b"`) || errs == "" {
		t.Errorf("print: %d\n%s%s", status, out, errs)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{}, {"list"}, {"frobnicate", "x"}, {"list", "a", "b"}, {"print", "-x", "d"}, {"print", "-state", "x", "d"}, {"list", "-escape", "x", "d"},
		{"purge", "d"}, {"drain"}, {"drain", "-batch", "0", "d"}, {"replay", "-older", "x", "d"},
	} {
		if status, out, errs := tool(args...); status != 2 || out != "" || !strings.HasSuffix(errs, usage) {
			t.Errorf("%q: %d %q", args, status, errs)
		}
	}
	if status, out, _ := tool("list", "-h"); status != 0 || out != usage {
		t.Errorf("%d %q", status, out)
	}
	empty := t.TempDir()
	for _, args := range [][]string{{"list"}, {"verify"}, {"print"}, {"replay"}, {"salvage"}, {"drain"}, {"purge", "-dead"}} {
		if status, _, errs := tool(append(args, filepath.Join(empty, "nowhere"))...); status != 2 || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s nowhere: %d %q", args, status, errs)
		}
		if len(args[0]) < 5 || args[0] == "print" || args[0] == "verify" {
			continue // which read, and find nothing
		}
		if status, _, errs := tool(append(args, empty)...); status != 2 || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s where there is no spool: %d %q", args, status, errs)
		}
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) != 0 {
		t.Error("left behind where there was no spool:", left, err)
	}
}
