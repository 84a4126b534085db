package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/spool"
)

// ids returns the IDs of events in JSON lines, in order.
func ids(lines string) string {
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^.*?"id":"([^"]*)"`).FindAllStringSubmatch(lines, -1) {
		all = append(all, m[1])
	}
	return strings.Join(all, " ")
}

// printed is what print says of the events in a state.
func printedIDs(t *testing.T, dir, state string) string {
	t.Helper()
	status, out, errs := tool("print", "-state", state, dir)
	if status != 0 {
		t.Errorf("print: %d %s", status, errs)
	}
	return ids(out)
}

func TestReplayAndDrain(t *testing.T) {
	dir := fill(t)
	for _, c := range []struct{ filter, value string }{{"-why", "another"}, {"-id", "b"}, {"-older", "1h"}, {"-newer", "1ns"}} {
		if status, out, _ := tool("replay", c.filter, c.value, dir); status != 0 || out != "0 events put back, 1 records left\n" {
			t.Errorf("%s: %d %s", c, status, out)
		}
	}
	status, out, errs := tool("replay", "-why", "no such", "-id", "bad", "-newer", "1h", dir)
	if status != 0 || out != "1 events put back, 0 records left\n" {
		t.Errorf("%d %s%s", status, out, errs)
	}
	if dead, pending := printedIDs(t, dir, "dead"), printedIDs(t, dir, "pending"); dead != "" || pending != "a b c bad" {
		t.Errorf("dead: %s; pending: %s", dead, pending)
	}
	status, out, errs = tool("drain", "-batch", "3", dir)
	if status != 0 || ids(out) != "a b c bad" || errs != "4 events drained\n" {
		t.Errorf("%d %s%s", status, out, errs)
	}
	if status, out, _ = tool("drain", dir); status != 0 || out != "" {
		t.Errorf("a second time: %d %s", status, out)
	}
}

// What a command does not take waits on.
func TestDrainIntoACommand(t *testing.T) {
	dir := fill(t)
	t.Setenv("BEACON_SPOOL", "copy")
	status, out, errs := tool("drain", dir, os.Args[0], "fail")
	if status != 2 || ids(out) != "a b c" || !strings.Contains(errs, "exit status 1") || !strings.Contains(errs, "0 events drained") {
		t.Errorf("%d %s%s", status, out, errs)
	}
	if pending := printedIDs(t, dir, "pending"); pending != "a b c" {
		t.Error(pending)
	}
	status, out, errs = tool("drain", "-batch", "1", dir, os.Args[0])
	if status != 0 || ids(out) != "a b c" || errs != "3 events drained\n" {
		t.Errorf("%d %s%s", status, out, errs)
	}
	if pending := printedIDs(t, dir, "pending"); pending != "" {
		t.Error(pending)
	}
}

// What cannot be written was not taken.
func TestDrainToAFullDisk(t *testing.T) {
	dir := fill(t)
	var errs bytes.Buffer
	if status := run(t.Context(), []string{"drain", dir}, full{}, &errs); status != 2 || !strings.Contains(errs.String(), "no space") {
		t.Errorf("%d %s", status, errs.String())
	}
	if pending := printedIDs(t, dir, "pending"); pending != "a b c" {
		t.Error(pending)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space") }

func TestSalvageAndPurge(t *testing.T) {
	dir := fill(t)
	segs, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(segs) != 1 {
		t.Fatal(segs, err)
	}
	if err := os.Rename(segs[0], strings.TrimSuffix(segs[0], ".seg")+".bad"); err != nil {
		t.Fatal(err)
	}
	if aside := printedIDs(t, dir, "aside"); !strings.HasSuffix(aside, "a b c") {
		t.Error(aside)
	}
	status, out, errs := tool("salvage", "-to", fill(t), "-id", "b", dir)
	if status != 0 || !strings.HasPrefix(out, "1 events put back") {
		t.Errorf("%d %s%s", status, out, errs)
	}
	if status, out, errs = tool("salvage", dir); status != 0 {
		t.Errorf("%d %s%s", status, out, errs)
	}
	if pending := printedIDs(t, dir, "pending"); !strings.HasSuffix(pending, "a c") {
		t.Error(pending)
	}
	for _, c := range []struct{ args, want string }{
		{"-dead -damaged -older 1h", "0 files"},
		{"-dead -damaged", "1 files"},
		{"-events", "files"},
	} {
		if status, out, errs := tool(append(append([]string{"purge"}, strings.Fields(c.args)...), dir)...); status != 0 || !strings.Contains(out, c.want) {
			t.Errorf("%s: %d %s%s", c.args, status, out, errs)
		}
	}
	if all := printedIDs(t, dir, "all"); all != "" {
		t.Error(all)
	}
}

func TestListAsJSON(t *testing.T) {
	status, out, _ := tool("list", "-json", fill(t))
	want := `{"file":"*.dead","bytes":N,"pending":0,"delivered":0,"dead":1,"aside":0,"damaged":0,"first":"2026-01-02T03:04:05Z","last":"2026-01-02T03:04:05Z"}` + "\n"
	out = regexp.MustCompile(`"bytes":\d+`).ReplaceAllString(regexp.MustCompile(`[0-9a-f]{16}`).ReplaceAllString(out, "*"), `"bytes":N`)
	if status != 0 || strings.Count(out, "\n") != 2 || !strings.Contains(out, want) {
		t.Errorf("%d %s", status, out)
	}
}

// An event of a later version is no damage.
func TestLaterVersion(t *testing.T) {
	dir := fill(t)
	segs, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(segs) != 1 {
		t.Fatal(segs, err)
	}
	b, err := os.ReadFile(segs[0])
	if err != nil {
		t.Fatal(err)
	}
	number, rec := b[12:20], b[32:] // see FORMAT.md
	payload := rec[8 : 8+binary.LittleEndian.Uint32(rec)]
	copy(payload, `{"v":7`)
	sum := crc32.Checksum(slices.Concat(number, rec[:4], payload), crc32.MakeTable(crc32.Castagnoli))
	binary.LittleEndian.PutUint32(rec[4:], sum)
	if err := os.WriteFile(segs[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	status, out, _ := tool("verify", dir)
	if status != 0 || !strings.Contains(out, " bytes at 32: ") || !strings.HasSuffix(out, "0 damaged places\n") {
		t.Errorf("verify: %d %s", status, out)
	}
	status, out, errs := tool("print", "-state", "all", dir)
	if status != 0 || strings.Count(out, `{"v":7`) != 1 || !strings.Contains(errs, " bytes at 32: ") {
		t.Errorf("print: %d %s%s", status, out, errs)
	}
}

// What changes files keeps away from a spool that is open, and the rest does not.
func TestWhileOpen(t *testing.T) {
	dir := fill(t)
	s, err := spool.Open(dir, beacon.SinkFunc(func(context.Context, []beacon.Event) error { return errors.New("down") }), spool.Options{DiskTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	for _, args := range [][]string{{"replay"}, {"replay", "-to", dir}, {"salvage"}, {"drain"}, {"purge", "-events"}} {
		status, out, errs := tool(append(args, dir)...)
		if status != 2 || out != "" || !strings.HasSuffix(errs, "beacon-spool: the directory is in use: stop the program that has it open first\n") {
			t.Errorf("%s: %d %s%s", args, status, out, errs)
		}
	}
	for _, args := range [][]string{{"list"}, {"verify"}, {"print"}, {"purge", "-dead"}} {
		if status, out, errs := tool(append(args, dir)...); status != 0 || out == "" || errs != "" {
			t.Errorf("%s: %d %s%s", args, status, out, errs)
		}
	}
}

// A replay that is killed loses nothing, whenever that happens.
func TestKilledReplay(t *testing.T) {
	const letters = 80
	dir := t.TempDir()
	sink := beacon.SinkFunc(func(context.Context, []beacon.Event) error { return beacon.ErrPermanent })
	s, err := spool.Open(dir, sink, spool.Options{BatchEvents: 1, DiskTimeout: time.Hour}) // the disk may be busy
	if err != nil {
		t.Fatal(err)
	}
	for n := range letters {
		e := beacon.Event{ID: fmt.Sprint("id-", n), Body: beacon.Text(strings.Repeat("x", 30000))} // for a few files
		if err := s.Consume(t.Context(), []beacon.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for n := range 6 {
		cmd := exec.Command(os.Args[0], "replay", dir)
		cmd.Env = append(os.Environ(), "BEACON_SPOOL=tool")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(time.Duration(rand.IntN(1+5*n))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // killed or not
		kill.Stop()
		there := map[string]bool{}
		for r, err := range spool.Read(dir) {
			if err != nil {
				t.Fatal(err)
			}
			there[r.Event.ID] = there[r.Event.ID] || r.Err == nil
		}
		for n := range letters {
			if id := fmt.Sprint("id-", n); !there[id] {
				t.Fatalf("%s is gone", id)
			}
		}
	}
	if status, out, errs := tool("replay", dir); status != 0 {
		t.Errorf("%d %s%s", status, out, errs)
	}
	if dead := printedIDs(t, dir, "dead"); dead != "" {
		t.Error(dead)
	}
}

func TestEscape(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{"plain é 漢 😀 {\"a\":1}\n", "plain é 漢 😀 {\"a\":1}\n"},
		{"\x1b[2J\r\t\x00\x7f", `\u001b[2J\u000d\u0009\u0000\u007f`},
		{"C1 \u0080\u009b\u009f", `C1 \u0080\u009b\u009f`},
		{"\u202a\u202e\u2066\u2069\u200e\u200f\u061c", `\u202a\u202e\u2066\u2069\u200e\u200f\u061c`},
		{"\u2028\u2029\u00a0\ufeff", `\u2028\u2029\u00a0\ufeff`},
		{"\xff\x9b\xc2", `\ufffd\ufffd\ufffd`},
		{"\ufffd", "\ufffd"},
		{"tag \U000E0041", `tag \udb40\udc41`},
	} {
		if d := cmp.Diff(c.want, string(escape([]byte(c.raw)))); d != "" {
			t.Errorf("%q: %s", c.raw, d)
		}
	}
	// A character that comes in two pieces is not torn apart.
	for cut := range len("é😀\u009b.") {
		var b bytes.Buffer
		e := &escaper{w: &b}
		for _, part := range []string{"é😀\u009b."[:cut], "é😀\u009b."[cut:]} {
			if n, err := e.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		if d := cmp.Diff(`é😀\u009b.`, b.String()); d != "" {
			t.Error(cut, d)
		}
	}
}

// A visitor cannot write to the operator's terminal; a machine gets what was stored.
func TestTerminalIsNotFooled(t *testing.T) {
	dir := t.TempDir()
	evil := "\x7f\u009b31m\u202egnp.exe"
	s, err := spool.Open(dir, beacon.SinkFunc(func(context.Context, []beacon.Event) error {
		return fmt.Errorf("%w: line\nbreak %s", beacon.ErrPermanent, evil)
	}), spool.Options{DiskTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Consume(t.Context(), []beacon.Event{{ID: evil, Body: beacon.Text(evil)}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, raw, _ := tool("print", "-state", "dead", dir)
	if strings.Count(raw, evil) != 3 {
		t.Errorf("not as stored: %q", raw)
	}
	_, out, _ := tool("print", "-escape", "always", "-state", "dead", dir)
	if strings.ContainsAny(out, "\x7f\u009b\u202e") || strings.Count(out, `\u007f\u009b31m\u202egnp.exe`) != 3 || strings.Count(out, "\n") != 1 {
		t.Errorf("escaped: %q", out)
	}
	_, _, errs := tool("list", dir+"/\x1b]0;x\n\u009b")
	if strings.ContainsAny(errs, "\x1b\u009b") || strings.Count(errs, "\n") != 1 {
		t.Errorf("in an error: %q", errs)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	file, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if !isTerminal(null) || isTerminal(file) || isTerminal(new(bytes.Buffer)) {
		t.Error("a device, a file and a buffer:", isTerminal(null), isTerminal(file), isTerminal(new(bytes.Buffer)))
	}
}
