// Package live shows what is happening now: a page, to be mounted behind the host's
// own login, with the events as they come, the sessions they make, refusals, and how
// the parts of the server are.
//
//	l, err := live.New(live.Options{})
//	…
//	h, err := beacon.New(beacon.Config{
//		Sink:      sink.Tee(sink.Required(store), sink.BestEffort(l, nil)),
//		OnRefused: l.Refused,
//	})
//	…
//	mux.Handle("/admin/live/", requireLogin(l))
//
// # What it is not
//
// A store. It holds the last events and page views in memory, of which the options
// bound both number and size, and forgets what is older. While nobody looks it runs
// nothing.
//
// # Mounting
//
// The page works under any path that ends in a slash, with http.StripPrefix or without.
// It shows all that visitors send, so it belongs behind a login: [Live] itself asks
// nobody who they are. It changes nothing, and answers GET and HEAD only.
//
// The page hears of news by server-sent events. Their stream ends with
// http.Server.Shutdown, with [Live.Close], and when a reader is slow; the page comes
// back by itself. Behind a middleware that cannot flush, such as http.TimeoutHandler,
// the stream ends after each piece, and the page asks for the next one every two
// seconds.
//
// What the page shows is the word of clients: it is written as text and never as markup,
// with characters that would not show or that turn the direction of text made visible,
// under a Content-Security-Policy that allows nothing but the page's own files.
package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sessions"
)

// Options are what [New] needs to know: nothing. The zero value is the default.
type Options struct {
	// Title is the heading of the page. The default is "Live".
	Title string

	// MaxEvents is how many events are kept to be shown, 500 by default.
	MaxEvents int

	// MaxBytes bounds them by [beacon.Event.Size], to 8 MiB by default. They may hold up
	// to twice as much memory, as Size says. Of an event of more than 64 KiB only what
	// the page shows is kept.
	MaxBytes int

	// MaxPageViews is how many page views sessions are derived from, 2,000 by default.
	// A page view takes about a kilobyte, and 3 KiB at most. The visitors that were not
	// heard of for longest go first, with all of theirs; of a single visitor no more
	// than 200 are kept.
	MaxPageViews int

	// MaxViewers is how many may look at once, 16 by default. Others are answered 503,
	// and their page tries again.
	MaxViewers int

	// Rules say what one session is, and Source what an event means to sessions. They
	// should be those of the store.
	Rules  sessions.Rules
	Source sessions.Source

	// Stats, if set, is asked every second while somebody looks, who waits for it: the
	// Stats method of the [beacon.Handler].
	Stats func() beacon.Stats

	// Checks are what else is shown of the server, in this order.
	Checks []Check

	// Frame allows pages of the same origin to show this one in a frame.
	Frame bool
}

// A Check is a part of the server, such as the spool or the store: whether it works, and
// its numbers. Both functions are asked every 5 seconds while somebody looks, on a
// goroutine of their own, one call at a time; one that hangs is shown to, and a panic is
// an error.
type Check struct {
	Name string

	// Healthy, if set, returns nil or what is wrong. Its context lasts 5 seconds.
	Healthy func(context.Context) error

	// Stats, if set, returns a struct or a map that encoding/json can marshal. What it
	// has is shown under its JSON name; one that ends in "_ns" is a duration, and in
	// "bytes", or is "free", a size.
	Stats func() any
}

// A Live is a [beacon.Sink] that remembers what went by, and an [http.Handler] that shows
// it. All its methods may be called concurrently.
type Live struct {
	opt  Options
	run  string // tells positions of this Live from those of another
	done chan struct{}
	end  func()

	mu       sync.Mutex
	ring     ring
	views    book
	refusals refusals
	changed  chan struct{} // closed when there is news for a viewer
	viewers  int
	servers  map[*http.Server]chan struct{} // closed when one shuts down

	board board
}

const maxOption = 1 << 30

// New returns a Live. The error names what in the options cannot be.
func New(o Options) (*Live, error) {
	var errs []error
	for _, n := range []struct {
		name  string
		value *int
		usual int
	}{
		{"MaxEvents", &o.MaxEvents, 500}, {"MaxBytes", &o.MaxBytes, 8 << 20},
		{"MaxPageViews", &o.MaxPageViews, 2000}, {"MaxViewers", &o.MaxViewers, 16},
	} {
		if *n.value < 0 || *n.value > maxOption {
			errs = append(errs, fmt.Errorf("live: %s: %d is not between 0 and %d", n.name, *n.value, maxOption))
		}
		*n.value = cmp.Or(*n.value, n.usual)
	}
	if err := o.Rules.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("live: %w", err))
	}
	for i, c := range o.Checks {
		if c.Name == "" || c.Healthy == nil && c.Stats == nil {
			errs = append(errs, fmt.Errorf("live: Checks[%d]: it needs a Name, and Healthy or Stats", i))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	o.Title = cmp.Or(o.Title, "Live")
	o.Rules.Gap = cmp.Or(o.Rules.Gap, 30*time.Minute)
	o.Checks = append([]Check(nil), o.Checks...)
	l := &Live{
		opt: o, run: strconv.FormatInt(time.Now().UnixNano(), 36), done: make(chan struct{}),
		changed: make(chan struct{}), servers: map[*http.Server]chan struct{}{},
	}
	l.end = sync.OnceFunc(func() { close(l.done) })
	l.ring = ring{keep: o.MaxEvents, room: o.MaxBytes}
	l.views.init(o.MaxPageViews)
	l.board.checks = make([]checkState, len(o.Checks))
	return l, nil
}

// Consume remembers the events. It never fails, not even after [Live.Close]: what is
// shown is not what is kept. It takes a few microseconds an event.
func (l *Live) Consume(_ context.Context, events []beacon.Event) error {
	for i := range events {
		e := &events[i]
		v, ok := l.opt.Source.PageView(*e)
		it := newItem(e, l.key(e), cmp.Or(e.View, v.View))
		l.mu.Lock()
		l.ring.add(it)
		if ok {
			l.views.add(v, e.Received)
		}
		l.mu.Unlock()
	}
	l.mu.Lock()
	l.wake()
	l.mu.Unlock()
	return nil
}

// key returns whose event it is, as sessions are shown under it.
func (l *Live) key(e *beacon.Event) string {
	if l.opt.Source.Key != nil {
		return shortID(l.opt.Source.Key(*e))
	}
	return shortID(e.Session)
}

// Refused remembers a request that was not taken: it is to be [beacon.Config.OnRefused],
// or to be called by it.
func (l *Live) Refused(r *http.Request, body []byte, why *beacon.RequestError) {
	it := newRefusal(r, body, why, time.Now())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refusals.add(it)
	l.wake()
}

// wake tells the viewers, if there are any, that there is news.
func (l *Live) wake() {
	if l.viewers > 0 {
		close(l.changed)
		l.changed = make(chan struct{})
	}
}

// Close ends the streams of those who look, for good. It is needed only where
// http.Server.Shutdown does not end them, as of a server that is not net/http's.
func (l *Live) Close(context.Context) error {
	l.end()
	return nil
}

var (
	_ beacon.Sink   = (*Live)(nil)
	_ beacon.Closer = (*Live)(nil)
	_ http.Handler  = (*Live)(nil)
)
