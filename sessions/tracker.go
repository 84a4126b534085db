package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
)

// ErrClosed is the error of Consume after Close. It is temporary: another process may
// take the event.
var ErrClosed = errors.New("sessions: the tracker is closed")

// TrackerOptions are the options of [NewTracker]. The zero value is all defaults.
type TrackerOptions struct {
	Rules  Rules
	Source Source

	// OnRevision is told what becomes of sessions. It is called by one goroutine, one
	// revision after the other, never while an event waits for its answer, and may take
	// its time: what happens to a session meanwhile is one revision. It may use the
	// Tracker; to Consume and Flush it has to give the context that it got, or they
	// might wait for the very call that they are in. That context has no values of a
	// request, and ends with that of Close.
	//
	// A panic in it is counted (see [TrackerStats]) and costs that revision only. Without
	// OnRevision a Tracker only holds sessions, for those who ask.
	OnRevision func(context.Context, Revision)

	// Every is how often the changes of a session are told at most. The default is a
	// minute. That it began and that it ended is told at once.
	Every time.Duration

	// Linger is how long a session that ended stays for late data, counted from when
	// something was last heard of it, and after [Rules.Gap]. The default is an hour.
	Linger time.Duration

	// MaxBytes bounds the memory of all that is held; the default is 256 MiB. A key
	// with one page view takes about 900 bytes, and a page view more about 350. If it
	// is full, the key that was not heard of for the longest time is handed out and
	// forgotten; so is a key that takes more than a sixteenth of it.
	MaxBytes int64
}

// Kind says what a [Revision] tells of a session.
type Kind string

const (
	Opened    Kind = "opened"    // it is new, or was under another ID (see Withdrawn)
	Changed   Kind = "changed"   // it goes on
	Ended     Kind = "ended"     // see Reason
	Revised   Kind = "revised"   // it had ended, and late data changed it; if there is no Reason it goes on
	Withdrawn Kind = "withdrawn" // there is none of that ID: see Into
)

// Reason says why a session ended.
type Reason string

const (
	ReasonGap     Reason = "gap"     // nothing was heard of it for longer than Rules.Gap
	ReasonCrash   Reason = "crash"   // so it is, and the browser reported a crash
	ReasonMax     Reason = "max"     // it was cut at Rules.Max
	ReasonEvicted Reason = "evicted" // it went because of TrackerOptions.MaxBytes
	ReasonClosed  Reason = "closed"  // the Tracker was closed
)

// A Revision is what is now known of a session: all of it, not what changed. Whoever
// keeps, for each ID, the one with the largest Number, and leaves out the Withdrawn, has
// the sessions.
type Revision struct {
	// Session is as [Of] gives it. Of one that is Withdrawn there are only ID and Key.
	Session Session

	Kind Kind

	// Reason is why the session ended. It is empty while it goes on.
	Reason Reason

	// Into is the ID of the session that has what the Withdrawn one had. It is empty
	// if there is none: the only page of it was, as it turned out, never seen.
	Into string

	// Number is larger than that of all revisions before. As it starts with the
	// clock, in microseconds, that holds beyond a restart.
	Number uint64
}

// A Tracker holds the sessions that go on now: it is a [beacon.Sink] that joins the page
// views of its events as they come, and tells what becomes of their sessions. It never
// refuses an event for what is in it, and what it gives is what [Of] gives, for all that
// it was told and holds, in whatever order that came.
//
// # When a session ends
//
// Sessions end by the progress of events, which is the largest Received: when it is more
// than [Rules.Gap] after the session's End. So those of old events, which are replayed,
// end as they did then. If no events come, a session ends when nothing was heard of its
// key for as long by the clock, within a second or so.
//
// It stays for [TrackerOptions.Linger], so that late data revises it. What comes even
// later begins a new state: its sessions are then told without what was forgotten. Where
// that matters a store joins the page views for good; see package store.
//
// # Concurrency
//
// All methods may be called concurrently. A Tracker has no goroutine while it has nothing
// to tell, and only a timer while it holds something.
type Tracker struct {
	o                         TrackerOptions
	gap, limit, linger, every int64 // microseconds
	base                      time.Time

	ctx    context.Context // of OnRevision
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	ended  chan struct{} // closed with the end of the first Close

	keyed, alone map[string]*visit // by Session; without one by View
	mark         int64             // the largest Received, in microseconds
	due          heap              // by progress of events
	live, idle   list              // by when they were last heard of, on the clock; idle ones have ended by it
	resting      fifo[rest]        // were told of within Every
	stale        int               // of those, how many are forgotten
	timer        *time.Timer
	alarm        int64 // when the timer fires; 0 is not at all

	bytes, leaving int64 // all that is held; of that, what only waits to be told
	room           chan struct{}
	stats          TrackerStats

	tell
}

// TrackerStats are numbers of a [Tracker].
type TrackerStats struct {
	Keys      int    // held
	PageViews int    // held, and activity
	Bytes     int64  // of memory, of all that is held
	Waiting   int    // keys of which there is something to be told
	Evicted   uint64 // keys that were forgotten because of TrackerOptions.MaxBytes
	Panics    uint64 // of OnRevision
}

const (
	trackerEvery  = time.Minute
	trackerLinger = time.Hour
	trackerBytes  = 256 << 20

	shareOfKey = 16 // of MaxBytes, for one key
)

// NewTracker returns a Tracker. The error is a mistake in the options.
func NewTracker(o TrackerOptions) (*Tracker, error) {
	if err := o.Rules.Validate(); err != nil {
		return nil, err
	}
	if o.Every < 0 || o.Linger < 0 || o.MaxBytes < 0 {
		return nil, fmt.Errorf("sessions: negative Every, Linger or MaxBytes: %v, %v, %d", o.Every, o.Linger, o.MaxBytes)
	}
	o.Every, o.Linger, o.MaxBytes = cmp.Or(o.Every, trackerEvery), cmp.Or(o.Linger, trackerLinger), cmp.Or(o.MaxBytes, trackerBytes)
	t := &Tracker{
		o:      o,
		linger: o.Linger.Microseconds(), every: o.Every.Microseconds(),
		base:  time.Now(),
		keyed: map[string]*visit{}, alone: map[string]*visit{},
	}
	t.gap, t.limit = o.Rules.micros()
	t.deriver = deriver{gap: t.gap, limit: t.limit}
	t.ctx, t.cancel = context.WithCancel(context.WithValue(context.Background(), within{t}, true))
	t.seed = maphash.MakeSeed()
	t.number = uint64(max(0, t.base.UnixMicro()))
	return t, nil
}

// within is the key of a value that contexts of OnRevision have.
type within struct{ t *Tracker }

func (t *Tracker) inside(ctx context.Context) bool { return ctx.Value(within{t}) != nil }

// now is the clock, in microseconds since the Tracker was made.
func (t *Tracker) now() int64 { return time.Since(t.base).Microseconds() }

// Consume takes events. It waits, until ctx ends, only if a quarter of the memory is
// taken by what has to be told before it can be forgotten, and OnRevision does not keep
// up; then the error is that of ctx. Otherwise the only error is [ErrClosed].
func (t *Tracker) Consume(ctx context.Context, events []beacon.Event) error {
	now := t.now()
	for i := range events {
		e := &events[i]
		v, ok := t.o.Source.PageView(*e)
		t.mu.Lock()
		if i == 0 {
			if err := t.enter(ctx); err != nil {
				t.mu.Unlock()
				return err
			}
		}
		if t.closed {
			t.mu.Unlock()
			return ErrClosed
		}
		if ok {
			t.take(&v, cmp.Or(e.Received, e.Time).UnixMicro(), now)
		}
		t.mu.Unlock()
	}
	return nil
}

// enter waits until there is room. The caller holds the lock.
func (t *Tracker) enter(ctx context.Context) error {
	for !t.closed && t.leaving > t.o.MaxBytes/4 && !t.inside(ctx) {
		if t.room == nil {
			t.room = make(chan struct{})
		}
		room := t.room
		t.mu.Unlock()
		var err error
		select {
		case <-room:
		case <-ctx.Done():
			err = ctx.Err()
		}
		t.mu.Lock()
		if err != nil {
			return err
		}
	}
	if t.closed {
		return ErrClosed
	}
	return nil
}

// Sessions returns the sessions of all that is held, those that ended and linger as
// well, sorted by Start and ID. It takes a while if they are many, during which events
// are taken.
func (t *Tracker) Sessions() []Session {
	var all []Session
	visits := t.visits()
	for len(visits) > 0 {
		n := min(len(visits), 64)
		t.mu.Lock()
		for _, v := range visits[:n] {
			if v.in != nil && t.keyed != nil { // it is still held
				all = t.deriveAll(all, v)
			}
		}
		t.mu.Unlock()
		visits = visits[n:]
	}
	return sorted(all)
}

func (t *Tracker) visits() []*visit {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]*visit, 0, len(t.keyed)+len(t.alone))
	for _, v := range t.keyed {
		all = append(all, v)
	}
	for _, v := range t.alone {
		all = append(all, v)
	}
	return all
}

// PageViews returns what is held of a key (see [Session.Key]): its page views, joined,
// and its activity, sorted by Start and View. Those of several Trackers together make,
// with [Of], the sessions of all of them.
func (t *Tracker) PageViews(key string) []beacon.PageView {
	t.mu.Lock()
	var views []beacon.PageView
	for _, v := range [...]*visit{t.keyed[key], t.alone[key]} {
		if v != nil {
			v.each(func(n *node) { views = append(views, n.view) })
		}
	}
	t.mu.Unlock()
	slices.SortFunc(views, func(a, b beacon.PageView) int {
		return cmp.Or(a.Start.Compare(b.Start), strings.Compare(a.View, b.View))
	})
	return views
}

// Stats returns the numbers of now.
func (t *Tracker) Stats() TrackerStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stats
	s.Keys, s.Bytes, s.Waiting = len(t.keyed)+len(t.alone), t.bytes, int(t.pushed-t.done)
	return s
}

// Flush tells what is known of all events that were taken before, without regard to
// [TrackerOptions.Every], and returns when OnRevision has returned, or with the error of
// ctx.
func (t *Tracker) Flush(ctx context.Context) error {
	t.mu.Lock()
	for t.endDue(1 << 20) {
	}
	for t.resting.len() > 0 {
		t.relax()
	}
	return t.await(ctx)
}

// Close ends all sessions that go on, for the reason that the Tracker is closed, waits
// until all is told, and forgets everything. If ctx ends first it returns the error of ctx,
// and what was not told is lost. A second Close waits for the first.
func (t *Tracker) Close(ctx context.Context) error {
	t.mu.Lock()
	if t.closed {
		ended := t.ended
		t.mu.Unlock()
		if t.inside(ctx) {
			return nil
		}
		select {
		case <-ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	t.closed, t.ended = true, make(chan struct{})
	if t.timer != nil {
		t.timer.Stop()
	}
	t.openRoom()
	for _, l := range [...]*list{&t.live, &t.idle} {
		for v := l.first; v != nil; v = v.next {
			t.enqueue(v)
		}
	}
	t.mu.Unlock()
	if t.inside(ctx) { // a call that has to return before all is told
		go func() { _ = t.finish(context.Background()) }()
		return nil
	}
	return t.finish(ctx)
}

// finish waits until all is told, and lets go of everything.
func (t *Tracker) finish(ctx context.Context) error {
	defer close(t.ended)
	t.mu.Lock()
	err := t.await(ctx)
	t.cancel()
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.pushed - t.done; err != nil && n > 0 {
		err = fmt.Errorf("sessions: %d keys are not told: %w", n, err)
	}
	t.abandon()
	return err
}

// Healthy fails once the Tracker is closed.
func (t *Tracker) Healthy(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return ErrClosed
	}
	return nil
}
