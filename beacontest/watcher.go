package beacontest

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
)

// TestCookie is the cookie by which a [Watcher] tells tests apart, and what the id of
// the test is called in [beacon.Event.Attrs].
const TestCookie = "beacontest"

// A Watcher tells browser tests, in whatever language they are written, which events
// their pages sent. It stands in the program that is tested:
//
//	watcher := &beacontest.Watcher{}
//	config = watcher.Config(config)
//	mux.Handle("/_test/events", watcher)
//	…
//	h, err := beacon.New(config)
//
// A test makes up an id of its own, gives the browser the cookie [TestCookie] with it,
// uses the page, and asks [Watcher.ServeHTTP] for what came. Browsers send the cookie
// with every kind of beacon, also at the end of the page, so tests that run at the same
// time do not get each other's events.
//
// It is not for production, and does little there if it gets into it: it keeps nothing of
// visitors without the cookie, no more than the last 10,000 events or 64 MiB, and answers
// nobody but programs and pages of the same machine. It takes a proxy of this machine that
// does not tell of itself for such a program.
//
// The zero value is ready to use, by concurrent requests too; a Watcher must not be copied.
type Watcher struct {
	// Remote has it answer other machines as well, and proxies, as where the browser of
	// the tests is in another container. Whoever then guesses the id of a test reads what
	// its pages sent.
	Remote bool

	mu      sync.Mutex
	log     []watched
	ids     map[string]bool // of the events in log
	size    int             // of the events in log
	others  map[string]int  // what came without the cookie
	changed change
}

// watched is what became of one event, or of one request, of a test.
type watched struct {
	test    string
	event   beacon.Event
	refused *refusal // and there is no event
}

// A refusal is what a test is told of a request that was not taken, or of an event that
// the host dropped.
type refusal struct {
	Status  int    `json:"status"`
	Reason  string `json:"reason"`
	Error   string `json:"error,omitempty"`
	Method  string `json:"method"`
	Path    string `json:"path"`
	Type    string `json:"type,omitempty"`
	Origin  string `json:"origin,omitempty"`
	Body    string `json:"body,omitempty"`    // its beginning
	Dropped string `json:"dropped,omitempty"` // what of the host dropped it
	Event   string `json:"event,omitempty"`   // the name of the one that was dropped
}

const (
	maxWatched = 10_000
	maxSize    = 64 << 20
	maxID      = 200
)

// Config returns c with the Watcher in it: after c's own Admit and Enrich, around c's
// Sink, which may be nil, and before c's OnRefused. Events of a test have its id in
// Attrs, for c's Sink too. An event counts once c's Sink has taken it.
func (w *Watcher) Config(c beacon.Config) beacon.Config {
	admit, enrich, onRefused := c.Admit, c.Enrich, c.OnRefused
	if admit != nil {
		c.Admit = func(r *http.Request) error {
			err := admit(r)
			if errors.Is(err, beacon.ErrDrop) {
				w.refuse(r, refusal{Status: http.StatusNoContent, Reason: "dropped", Dropped: "Config.Admit"})
			}
			return err
		}
	}
	c.Enrich = func(r *http.Request, e *beacon.Event) error {
		if enrich != nil {
			if err := enrich(r, e); err != nil {
				if errors.Is(err, beacon.ErrDrop) {
					w.refuse(r, refusal{Status: http.StatusNoContent, Reason: "dropped", Dropped: "Config.Enrich", Event: e.Name})
				}
				return err
			}
		}
		if test := testOf(r); test != "" {
			e.Attrs = maps.Clone(e.Attrs) // events may share the host's
			if e.Attrs == nil {
				e.Attrs = map[string]string{}
			}
			e.Attrs[TestCookie] = test
		}
		return nil
	}
	c.OnRefused = func(r *http.Request, body []byte, why *beacon.RequestError) {
		text := ""
		if why.Err != nil {
			text = why.Err.Error()
		}
		w.refuse(r, refusal{Status: why.Status, Reason: why.Reason, Error: text, Body: beginning(body)})
		if onRefused != nil {
			onRefused(r, body, why)
		}
	}
	c.Sink = &watchedSink{w, c.Sink}
	return c
}

// testOf is the id of the test that a request is of, or "".
func testOf(r *http.Request) string {
	c, err := r.Cookie(TestCookie)
	if err != nil || len(c.Value) > maxID {
		return ""
	}
	return c.Value
}

// beginning is as much of a text as somebody wants to read in the output of a test: all
// of these are as long as whoever sent them likes.
func beginning[T string | []byte](text T) string {
	return strings.Clone(string(text[:min(len(text), 500)]))
}

func (w *Watcher) refuse(r *http.Request, why refusal) {
	why.Error, why.Event = beginning(why.Error), beginning(why.Event)
	why.Method, why.Path = beginning(r.Method), beginning(r.URL.Path)
	why.Type, why.Origin = beginning(r.Header.Get("Content-Type")), beginning(r.Header.Get("Origin"))
	w.add(watched{test: testOf(r), refused: &why})
}

// add keeps entries, and what came without a cookie as a number.
func (w *Watcher) add(entries ...watched) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range entries {
		if e.test == "" {
			if w.others == nil {
				w.others = map[string]int{}
			}
			what := "events"
			if e.refused != nil {
				what = e.refused.Reason
			}
			if _, known := w.others[what]; known || len(w.others) < 100 {
				w.others[what]++
			}
			continue
		}
		if e.refused == nil {
			// What a page sent without hearing that it arrived, the next page sends again: with
			// the cookie that there is by then.
			if w.ids[e.event.ID] {
				continue
			}
			if w.ids == nil {
				w.ids = map[string]bool{}
			}
			w.ids[e.event.ID] = true
		}
		w.log = append(w.log, e)
		w.size += e.event.Size()
	}
	for len(w.log) > maxWatched || w.size > maxSize {
		w.size -= w.log[0].event.Size()
		delete(w.ids, w.log[0].event.ID)
		w.log[0] = watched{}
		w.log = w.log[1:]
	}
	w.changed.tell()
}

// A watchedSink is the host's Sink, whose events the Watcher hears of.
type watchedSink struct {
	watcher *Watcher
	next    beacon.Sink // may be nil
}

// Unwrap leads Flush, Close and Healthy to the host's Sink.
func (s *watchedSink) Unwrap() beacon.Sink { return s.next }

func (s *watchedSink) Consume(ctx context.Context, events []beacon.Event) error {
	entries := make([]watched, len(events))
	for i, e := range events {
		if entries[i].test = e.Attrs[TestCookie]; entries[i].test != "" {
			entries[i].event = e.Clone() // the next sink owns these
		}
	}
	var err error
	if s.next != nil {
		err = s.next.Consume(ctx, events)
	}
	if err != nil {
		part, ok := errors.AsType[*beacon.PartialError](err)
		if !ok || len(part.Failed) == 0 {
			return err // OnRefused hears of it
		}
		taken := entries[:0:0]
		for i, e := range entries {
			if !slices.Contains(part.Failed, i) {
				taken = append(taken, e)
			}
		}
		entries = taken
	}
	s.watcher.add(entries...)
	return err
}

// of returns what is known of a test: its events as a store would have them, what was
// refused, what came without a cookie, and what is closed when there is more to know.
func (w *Watcher) of(test string) (events []beacon.Event, refused []refusal, others map[string]int, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.log {
		switch {
		case e.test != test:
		case e.refused != nil:
			refused = append(refused, *e.refused)
		default:
			events = append(events, e.event)
		}
	}
	return settled(events), refused, maps.Clone(w.others), w.changed.next()
}

// settled returns events, of which there are no twins, and of a series with ModeReplace
// the last one: series by series, in the order in which they began, and those of one by
// their Seq.
func settled(events []beacon.Event) []beacon.Event {
	type series struct{ view, name string }
	of := func(e beacon.Event) series {
		if e.Series == "" {
			return series{"", e.ID}
		}
		return series{e.View, e.Series}
	}
	type start struct {
		at    time.Time
		order int // among those of the same time
	}
	began := map[series]start{}
	last := map[series]beacon.Event{}
	var kept []beacon.Event
	for i, e := range events {
		s := of(e)
		if t, ok := began[s]; !ok {
			began[s] = start{e.Time, i}
		} else if e.Time.Before(t.at) {
			began[s] = start{e.Time, t.order}
		}
		if e.Mode == beacon.ModeReplace {
			if old, ok := last[s]; !ok || old.Seq < e.Seq {
				last[s] = e
			}
		} else {
			kept = append(kept, e)
		}
	}
	for _, e := range last {
		kept = append(kept, e)
	}
	slices.SortStableFunc(kept, func(a, b beacon.Event) int {
		x, y := began[of(a)], began[of(b)]
		return cmp.Or(x.at.Compare(y.at), cmp.Compare(x.order, y.order), cmp.Compare(a.Seq, b.Seq))
	})
	return kept
}
