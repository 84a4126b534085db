package main

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/bench/bodies"
	"github.com/pagebeacon/beacon/internal/bench/pair"
)

var update = flag.Bool("update", false, "write budgets.json")

func TestMain(m *testing.M) {
	flag.Parse()
	runtime.GOMAXPROCS(1) // as the command does: goroutines on two cores allocate now and then
	os.Exit(m.Run())
}

// TestBudgets: nothing allocates more than budgets.json allows. What allocates less is
// told, so that the budget follows.
func TestBudgets(t *testing.T) {
	got, err := budgets()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		b, err := json.MarshalIndent(got, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("budgets.json", append(b, '\n'), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile("budgets.json")
	if err != nil {
		t.Fatal(err)
	}
	var allowed map[string]budget
	if err := json.Unmarshal(b, &allowed); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(allowed)) {
		b, ok := got[name]
		if !ok {
			t.Errorf("%s: has a budget and is not measured", name)
		} else if err := b.exceeds(allowed[name]); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if allowed[name].exceeds(b) != nil {
			t.Logf("%s: %v, budget %v: go test -run TestBudgets -update .", name, b, allowed[name])
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("%s: has no budget", name)
	}
}

func TestBudgetExceeds(t *testing.T) {
	for _, c := range []struct {
		is, allowed budget
		exceeds     bool
	}{
		{budget{8, 1000}, budget{8, 1000}, false},
		{budget{9, 1000}, budget{8, 1000}, true},
		{budget{7, 1000}, budget{8, 1000}, false},
		{budget{8, 1120}, budget{8, 1000}, false},
		{budget{8, 1140}, budget{8, 1000}, true},
		{budget{8, -990}, budget{8, -1000}, false},
		{budget{8, -800}, budget{8, -1000}, true},
	} {
		if got := c.is.exceeds(c.allowed) != nil; got != c.exceeds {
			t.Errorf("%v of %v: %v", c.is, c.allowed, got)
		}
	}
}

// TestLinear: twelve times the bytes take twelve times the memory, whatever is in them.
func TestLinear(t *testing.T) {
	for _, s := range shapes() {
		t.Run(s.name, func(t *testing.T) {
			perByte := func(n int) (allocs, bytes float64) {
				run, size := s.decode(n)
				allocs, bytes, err := (&pair.Subject{Run: run}).Memory(1)
				if err != nil {
					t.Fatal(err)
				}
				return (allocs - 16) / size, (bytes - 4096) / size // but for what any request takes
			}
			const n = 8 << 10
			fewAllocs, fewBytes := perByte(n)
			allocs, bytes := perByte(12 * n)
			if bytes > 2*max(fewBytes, 1) || allocs > 2*max(fewAllocs, 0.001) {
				t.Errorf("of %d KB: %.3f allocations and %.2f bytes a byte; of %d KB: %.3f and %.2f", 12*n>>10, allocs, bytes, n>>10, fewAllocs, fewBytes)
			}
		})
	}
}

// TestArrangements: what is measured as refused is refused, for that reason.
func TestArrangements(t *testing.T) {
	reasons := map[string]bool{}
	for _, a := range append(others(), refusals()...) {
		reasons[a.reason] = true
		answer := ask(a.handler(), a.request)
		if got := answer.Header.Get("Beacon-Refused"); got != a.reason {
			t.Errorf("%s: %d %q, want %q", a.name, answer.StatusCode, got, a.reason)
		}
	}
	if len(reasons) < 17 {
		t.Errorf("only %d reasons", len(reasons))
	}
}

// TestBodies: each body is what it says, and so is what stands beside beacon for it.
func TestBodies(t *testing.T) {
	h := newHandler(beacon.Config{})
	for _, c := range comparisons() {
		for _, b := range []bodies.Body{c.Body, bodies.Gzip(c.Body)} {
			events, err := beacon.Decode(requestOf(b), b.Data, beacon.Limits{})
			if err != nil || len(events) != c.Events || events[0].Errors != nil {
				t.Errorf("%s: %d events, %v", b.Name, len(events), err)
			}
		}
		if got := ask(h, c.Post()).StatusCode; got != 204 {
			t.Errorf("%s: answered %d", c.Name, got)
		}
		if got := ask(c.std, c.Post()).StatusCode; got != 204 {
			t.Errorf("%s: %s answered %d", c.Name, c.peer, got)
		}
		if got := h.Stats().Events; got == 0 {
			t.Errorf("%s: no events", c.Name)
		}
	}
	for _, s := range slopes() {
		for _, n := range s.sizes {
			b := s.make(n)
			if events, err := beacon.Decode(requestOf(b), b.Data, beacon.Limits{}); err != nil || len(events) != b.Events {
				t.Errorf("%s: %d events, %v", b.Name, len(events), err)
			}
		}
	}
	for _, a := range bodies.Attacks() {
		if b := a.Make(36 << 10); len(b.Data) == 0 || b.Type == "" {
			t.Errorf("%s: %q", a.Name, b.Type)
		}
		if status := probe(h, bodies.Ordinary(a.Like, 36<<10).Post()); status != 204 {
			t.Errorf("%s: an ordinary body is answered %d", a.Name, status)
		}
	}
}

// TestTables: each table can be printed, and one of them has whatever has a target.
func TestTables(t *testing.T) {
	r := report{Options: pair.Options{Rounds: 1, Slice: time.Microsecond}}
	for _, table := range tables {
		if table.name == "e2e" || table.name == "curves" {
			continue // they have tests of their own
		}
		var out strings.Builder
		r.Writer, r.quick = &out, !table.goals && table.name != "readme"
		if err := table.print(&r); err != nil {
			t.Fatal(err)
		}
		if rows := strings.Count(out.String(), "\n|"); rows < 5 {
			t.Errorf("%s: %d rows", table.name, rows)
		}
	}
	for _, g := range targets() {
		if _, ok := r.results[g.key]; !ok && !g.loopback() {
			t.Errorf("%s: nothing measures %s", g.what, g.key)
		}
	}
}

// TestRun: the command prints the table that is asked for.
func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run([]string{"-quick", "-table", "handoff", "-rounds", "1", "-slice", "1us"}, &out); err != nil || !strings.Contains(out.String(), "VolatileQueue") {
		t.Errorf("%v\n%s", err, &out)
	}
	if err := run([]string{"-table", "none"}, &out); err == nil || !strings.Contains(err.Error(), "handler, requests") {
		t.Error(err)
	}
}

// TestMet: a target is met if both figures are within, and by allocations.
func TestMet(t *testing.T) {
	more, less := target{limit: 0.8, floor: true, allocs: 4}, target{limit: 0.8, allocs: -1}
	for _, c := range []struct {
		target
		reached
		want string
	}{
		{more, reached{0.8, 0.9, 4}, "yes"},
		{more, reached{0.8, 0.9, 5}, "no, by allocations"},
		{more, reached{0.79, 0.9, 4}, "by the minimum"},
		{more, reached{0.81, 0.7, 4}, "by the median"},
		{more, reached{0.1, 0.1, 4}, "**no**"},
		{less, reached{0.1, 0.1, 99}, "yes"},
		{less, reached{0.81, 0.82, 0}, "**no**"},
	} {
		if got := c.met(c.reached); got != c.want {
			t.Errorf("%v: %s, want %s", c, got, c.want)
		}
	}
}
