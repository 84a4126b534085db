package sink

import (
	"context"
	"log/slog"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

// Log returns a sink that writes each event as a log record of the given level to
// h, and returns the first error of h; events before it were written, and it is a
// [*beacon.PartialError] then. It calls h itself: a [slog.Logger] would swallow that
// error, and with it the events.
//
// The record's time is the event's and its message "beacon". Its attributes are
//
//	id, kind, name, session, page    strings as the client worded them; kind is that of Body
//	size                             bytes of content in Body, about
//
// Those that are empty are left out, but for id, kind and size. The body is not
// written. Client text stands in values only, so a handler that escapes values, as
// those of log/slog do, keeps it from forging records.
//
// If h does not write that level, the events are taken and that is all. Log panics
// if h is nil. Flush and Close have nothing to do, and Healthy is nil until Close.
func Log(h slog.Handler, level slog.Level) Sink {
	if h == nil {
		panic("sink: Log: no handler")
	}
	return &log{front: front{next: nothing}, h: h, level: level}
}

// nothing stands behind a sink that is the last.
var nothing = beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })

type log struct {
	front
	h     slog.Handler
	level slog.Level
}

func (l *log) Consume(ctx context.Context, events []beacon.Event) error {
	if l.closed.Load() {
		return ErrClosed
	}
	if !l.h.Enabled(ctx, l.level) {
		return nil
	}
	for i := range events {
		if err := l.h.Handle(ctx, l.record(&events[i])); err != nil {
			return rest(i, len(events), err)
		}
	}
	return nil
}

// rest is the error of a call of n events of which the first were taken.
func rest(first, n int, err error) error {
	var at []int
	for i := first; i < n; i++ {
		at = append(at, i)
	}
	var tally delivery.Tally
	tally.Taken(first)
	tally.Add(at, err)
	return tally.Err()
}

func (l *log) record(e *beacon.Event) slog.Record {
	kind := ""
	if e.Body != nil {
		kind = e.Body.Kind()
	}
	r := slog.NewRecord(e.Time, l.level, "beacon", 0)
	r.AddAttrs(slog.String("id", e.ID), slog.String("kind", kind))
	for _, a := range [...]slog.Attr{
		slog.String("name", e.Name), slog.String("session", e.Session), slog.String("page", e.Page),
	} {
		if a.Value.String() != "" {
			r.AddAttrs(a)
		}
	}
	r.AddAttrs(slog.Int("size", bodySize(e.Body)))
	return r
}

func bodySize(body beacon.Body) int {
	switch b := body.(type) {
	case beacon.Text:
		return len(b)
	case beacon.JSON:
		return len(b)
	case beacon.Form:
		n := 0
		for _, f := range b {
			n += len(f.Name) + len(f.Value)
			if f.File != nil {
				n += len(f.File.Data)
			}
		}
		return n
	case beacon.Binary:
		return len(b.Data)
	case beacon.Ping:
		return len(b.From) + len(b.To)
	case beacon.Report:
		return len(b.Body)
	}
	return 0
}
