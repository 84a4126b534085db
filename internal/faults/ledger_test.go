package faults

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pagebeacon/beacon"
)

// An id names an event: who sent it, and the position among what it sent.
type id uint64

// poison in an id says that next must refuse the event for good.
const poison id = 1 << 63

func newID(client, seq int) id { return id(client)<<32 | id(seq) }

func (x id) client() int    { return int(x &^ poison >> 32) }
func (x id) seq() int       { return int(uint32(x)) }
func (x id) String() string { return fmt.Sprintf("%016x", uint64(x)) }

func parseID(s string) (id, bool) {
	if len(s) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 16, 64)
	return id(n), err == nil
}

const eventBytes = 300

// filler is what payloads are cut from: letters that no encoding has to escape.
var filler = func() string {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 64<<10)
	for i := range b {
		b[i] = "abcdefghijklmnopqrstuvwxyzABCDEF"[r.Uint32()%32]
	}
	return string(b)
}()

// payload is the one content of that size that the event x can have, so that
// whoever gets it can tell whether it is whole.
func payload(x id, size int) string {
	off := uint64(x) * 0x9E3779B97F4A7C15 >> 32 % uint64(len(filler)-size)
	return x.String() + " " + filler[off:][:size-17]
}

// identify returns the id of an event, if its content is what was sent.
func identify(e *beacon.Event) (id, error) {
	var s string
	switch b := e.Body.(type) {
	case beacon.Text:
		s = string(b)
	case beacon.JSON:
		s = strings.Trim(string(b), `"`)
	}
	if len(s) < 17 || len(s) > 32<<10 {
		return 0, fmt.Errorf("event %s: body %T of %d bytes", e.ID, e.Body, len(s))
	}
	x, ok := parseID(s[:16])
	if !ok || s != payload(x, len(s)) {
		return 0, fmt.Errorf("event %s: body %.40q is not what was sent", e.ID, s)
	}
	return x, nil
}

// A ledger knows what was sent and what was acknowledged. It is safe for
// concurrent use.
type ledger struct {
	mu      sync.Mutex
	clients map[int][]fate // by position
	acked   int
}

// A fate is what became of an event, as its sender knows it.
type fate uint8

const (
	unsent fate = iota
	sent
	acked
)

func (l *ledger) set(x id, f fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clients == nil {
		l.clients = map[int][]fate{}
	}
	c := l.clients[x.client()]
	for len(c) <= x.seq() {
		c = append(c, unsent)
	}
	if f == acked && c[x.seq()] != acked {
		l.acked++
	}
	c[x.seq()] = max(f, c[x.seq()])
	l.clients[x.client()] = c
}

func (l *ledger) ackedCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// snapshot returns a copy that what happens from now on does not reach.
func (l *ledger) snapshot() *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &ledger{clients: make(map[int][]fate, len(l.clients)), acked: l.acked}
	for n, fates := range l.clients {
		c.clients[n] = append([]fate(nil), fates...)
	}
	return c
}

// A verdict compares what was acknowledged with what was found.
type verdict struct {
	acked, lost int
	unasked     int // found without having been acknowledged: allowed
	twins       int // found more than once: allowed
	foreign     int // found without having been sent
	backwards   int // found for the first time after a later one of the same sender
	example     id
}

func (v verdict) String() string {
	s := fmt.Sprintf("lost %d of %d acked; %d found that were not acked, %d twins", v.lost, v.acked, v.unasked, v.twins)
	if v.foreign > 0 {
		s += fmt.Sprintf(", %d NEVER SENT", v.foreign)
	}
	if v.lost+v.foreign > 0 {
		s += fmt.Sprintf(" (such as %v)", v.example)
	}
	return s
}

// check compares the ledger with what was found, in the order of delivery.
func (l *ledger) check(found ...[]id) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := verdict{acked: l.acked}
	seen := make(map[int][]bool, len(l.clients))
	for n, fates := range l.clients {
		seen[n] = make([]bool, len(fates))
	}
	latest := make(map[int]int, len(l.clients))
	for _, ids := range found {
		for _, x := range ids {
			n, seq := x.client(), x.seq()
			if seq >= len(seen[n]) || l.clients[n][seq] == unsent {
				v.foreign++
				v.example = x
				continue
			}
			if seen[n][seq] {
				v.twins++
				continue
			}
			seen[n][seq] = true
			if last, ok := latest[n]; ok && seq < last {
				v.backwards++
			}
			latest[n] = max(latest[n], seq)
			if l.clients[n][seq] != acked {
				v.unasked++
			}
		}
	}
	for n, fates := range l.clients {
		for seq, f := range fates {
			if f == acked && !seen[n][seq] {
				v.lost++
				v.example = newID(n, seq)
			}
		}
	}
	return v
}

// must fails the test on any loss.
func (v verdict) must(t *testing.T, what string) {
	t.Helper()
	t.Logf("%s: %v", what, v)
	if v.lost > 0 {
		t.Errorf("%s: %d acknowledged events are lost", what, v.lost)
	}
	if v.foreign > 0 {
		t.Errorf("%s: %d events that nobody sent", what, v.foreign)
	}
	if v.acked == 0 {
		t.Errorf("%s: nothing was acknowledged, so nothing is proven", what)
	}
}

// A line of a store says that an event arrived whole. Its sum tells it from one
// that a crash cut short.
func appendLine(b []byte, x id) []byte {
	s := x.String()
	return fmt.Appendf(b, "%s%08x\n", s, crc32.ChecksumIEEE([]byte(s)))
}

// readStore returns what a store holds, in order, and how many lines were cut.
func readStore(t *testing.T, path string) (ids []id, cut int) {
	t.Helper()
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		s := lines.Text()
		if s == "" {
			continue
		}
		if strings.HasPrefix(s, "damaged") {
			t.Errorf("delivered damaged: %s", s)
			continue
		}
		if len(s) != 24 || fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(s[:16]))) != s[16:] {
			cut++
			continue
		}
		x, _ := parseID(s[:16])
		ids = append(ids, x)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return ids, cut
}
