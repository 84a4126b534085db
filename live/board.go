package live

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
)

const (
	boardEvery = 900 * time.Millisecond // how often what all viewers see is worked out at most
	checkEvery = 5 * time.Second
	statsBytes = 16 << 10 // of the numbers of a check
)

// A board is what all viewers see alike, worked out once for all of them, by whoever asks
// first: nothing runs for it while nobody looks.
type board struct {
	mu     sync.Mutex
	at     time.Time
	table  table
	stats  []byte // JSON, as health
	health []byte
	checks []checkState
}

// A checkState is the last answer of a check, and the call that is in progress.
type checkState struct {
	running bool
	since   time.Time // when that began, or the last one ended
	err     error
	answer  bool // there has been one
	stats   json.RawMessage
}

// A sight is what of the board one viewer sees at one moment. It is not to be changed.
type sight struct {
	table         table
	stats, health []byte
}

func (l *Live) look(now time.Time) sight {
	b := &l.board
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.at) >= boardEvery || now.Before(b.at) {
		b.at = now
		l.refresh(now)
	}
	return sight{b.table, b.stats, b.health}
}

// refresh works the board out anew. Its owner holds the board's lock, and Consume waits
// for no more than a copy of the page views.
func (l *Live) refresh(now time.Time) {
	b := &l.board
	l.mu.Lock()
	version := l.views.version
	var views []*view
	var lost map[string]bool
	if b.table.totals == nil || version != b.table.version {
		views, lost = l.views.copied()
	}
	l.mu.Unlock()
	if b.table.totals == nil || version != b.table.version {
		b.table = tabulate(views, lost, l.opt.Rules)
		b.table.version = version
	}
	if l.opt.Stats != nil {
		if s, ok := recovered(l.opt.Stats); ok {
			b.stats, _ = json.Marshal(s) // numbers and words
		}
	}
	for i := range b.checks {
		if c := &b.checks[i]; !c.running && (!c.answer || now.Sub(c.since) >= checkEvery) {
			c.running, c.since = true, now
			go l.check(i)
		}
	}
	b.health = l.healthJSON(now)
}

func recovered(f func() beacon.Stats) (s beacon.Stats, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return f(), true
}

// check asks one part of the server, which may take its time.
func (l *Live) check(i int) {
	c := &l.opt.Checks[i]
	err := fmt.Errorf("it ended its goroutine")
	var stats []byte
	defer func() { // also after runtime.Goexit
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
		l.board.mu.Lock()
		defer l.board.mu.Unlock()
		s := &l.board.checks[i]
		s.running, s.since, s.answer, s.err, s.stats = false, time.Now(), true, err, stats
	}()
	ctx, cancel := context.WithTimeout(context.Background(), checkEvery)
	defer cancel()
	var failed, odd error
	if c.Healthy != nil {
		failed = c.Healthy(ctx)
	}
	if c.Stats != nil {
		stats, odd = json.Marshal(c.Stats())
		if odd == nil && (len(stats) > statsBytes || !bytes.HasPrefix(stats, []byte("{"))) {
			odd = fmt.Errorf("its numbers are not a JSON object of at most %d bytes", statsBytes)
		}
		if odd != nil {
			stats = nil
		}
	}
	if err = failed; err == nil {
		err = odd
	}
}

func (l *Live) healthJSON(now time.Time) []byte {
	type health struct {
		Name  string          `json:"name"`
		State string          `json:"state"` // ok, failing, hangs, or asking for the first time
		Error string          `json:"error,omitempty"`
		Stats json.RawMessage `json:"stats,omitempty"`
	}
	all := []health{}
	for i, c := range l.opt.Checks {
		s := &l.board.checks[i]
		h := health{Name: c.Name, State: "ok", Stats: s.stats}
		switch {
		case s.running && now.Sub(s.since) > checkEvery+time.Second:
			h.State, h.Error = "hangs", "no answer since "+s.since.UTC().Format(time.TimeOnly)+" UTC"
		case !s.answer:
			h.State = "asking"
		case s.err != nil:
			h.State, h.Error = "failing", cutTo(s.err.Error(), valueBytes)
		}
		all = append(all, h)
	}
	data, _ := json.Marshal(all) // of texts, and of JSON
	return data
}
