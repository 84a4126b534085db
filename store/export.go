package store

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"iter"

	"github.com/pagebeacon/beacon"
)

// A page of events is read into memory before the first of it is handed out, so that no
// connection waits for who takes them.
const firstPage = 64

// pages returns how many events and bytes a page has at most. In ClickHouse it takes about
// as long to find a few IDs as to find many.
func (d Dialect) pages() (events, bytes int) {
	if d == ClickHouse {
		return 32 << 10, 16 << 20
	}
	return 1024, 4 << 20
}

// Events returns the events that were received in the range, as they were handed to
// Consume, sorted by Received, to the microsecond, and ID. Session is the key that the
// [sessions.Source] of the Store gave them; Page and Name are their own. What happened in
// the range may have been received later, see [beacon.Event.Time].
//
// A range and a session are found by an index. A page and a name are looked for among
// what these leave.
//
// They are read in parts of about 4 MiB (16 MiB from ClickHouse), or of one event that is
// larger, and no connection is held while the loop runs: it may use the database. What is
// stored meanwhile may be among them or not. An error is the last that comes, with an event
// of which only the ID is set if its row could not be read.
func (s *Store) Events(ctx context.Context, q Query) iter.Seq2[beacon.Event, error] {
	return func(yield func(beacon.Event, error) bool) {
		err := s.stored(ctx, q, func(id, text string) (bool, error) {
			var e beacon.Event
			if err := json.Unmarshal([]byte(text), &e); err != nil {
				return yield(beacon.Event{ID: id}, fmt.Errorf("store: event %q: %w", id, err)), errEnough
			}
			return yield(e, nil), nil
		})
		if err != nil && err != errEnough {
			yield(beacon.Event{}, fmt.Errorf("store: events: %w", err))
		}
	}
}

// Export writes the events that [Store.Events] would return to w: one line of JSON for
// each, exactly as it is stored, in the lossless form of [beacon.Event.MarshalJSON]. Whoever
// unmarshals a line has the event that was handed to Consume.
//
// It returns how many lines it wrote, also with an error: what comes behind the last one is
// not there. Memory is bounded as by Events.
func (s *Store) Export(ctx context.Context, w io.Writer, q Query) (int64, error) {
	out := bufio.NewWriterSize(w, 64<<10)
	var n int64
	err := s.stored(ctx, q, func(_, text string) (bool, error) {
		out.WriteString(text)
		err := out.WriteByte('\n') // has the error of the first write that failed
		if err == nil {
			n++
		}
		return err == nil, err
	})
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	if err != nil {
		return n, fmt.Errorf("store: export: %w", err)
	}
	return n, nil
}

// stored calls fn for each event until it returns false or an error.
func (s *Store) stored(ctx context.Context, q Query, fn func(id, text string) (bool, error)) error {
	if err := q.validate(); err != nil {
		return err
	}
	type row struct {
		received int64
		id, text string
	}
	var page []row
	var last *row // of the page before
	limit, left := firstPage, q.Limit
	pageEvents, pageBytes := s.dialect.pages()
	for {
		if q.Limit > 0 {
			limit = min(limit, left)
		}
		var w where
		w.within("received", q)
		s.about(&w, q)
		if last != nil {
			than := ">"
			if q.Newest {
				than = "<"
			}
			// Both, since not every database sees the range of an index in the second.
			w.and("received "+than+"= ? AND (received, id) "+than+" (?, ?)", last.received, last.received, last.id)
		}
		part := q
		part.Limit = limit
		st, until, err := s.engine.page(ctx, w, part)
		if err != nil {
			return err
		}
		page = page[:0]
		size := 0
		err = s.each(ctx, st, func(rows *sql.Rows) error {
			var r row
			if err := rows.Scan(&r.received, &r.id, &r.text); err != nil {
				return err
			}
			page = append(page, r)
			if size += len(r.text); size >= pageBytes {
				return errEnough
			}
			return nil
		})
		if err != nil && err != errEnough {
			return err
		}
		for i := range page {
			if more, err := fn(page[i].id, page[i].text); !more || err != nil {
				return err
			}
		}
		left -= len(page)
		all := err == nil && len(page) < limit // of what it looked at
		switch {
		case q.Limit > 0 && left == 0, all && !until.bounded:
			return nil
		case all && q.Newest:
			last = &row{received: until.until} // no ID is before the empty one
		case all:
			last = &row{received: until.until + 1}
		default:
			end := page[len(page)-1]
			last = &end
		}
		// As many as are likely to fit, so that the database does not send what is not read.
		limit = min(pageEvents, 2*limit, max(1, len(page)*pageBytes/max(size, 1)))
	}
}

// page asks for as many events as the limit of q says, in one question.
func (s *Store) page(_ context.Context, w where, q Query) (*question, reach, error) {
	st := &question{d: s.dialect}
	st.add("SELECT received, id, event FROM " + s.table("events"))
	st.where(w)
	st.order(q, "received", "id")
	return st, reach{}, nil
}

// about asks for the session, the page and the name of events.
func (s *Store) about(w *where, q Query) {
	if q.Session != "" {
		keys := columnKeys(q.Session)
		in := " IN (" + marks(len(keys)) + ")"
		w.and("(session"+in+" OR session = '' AND view"+in+")", append(keys, keys...)...)
	}
	if q.Page != "" {
		w.and("page = ?", columnText(q.Page, maxText))
	}
	if q.Name != "" {
		w.and("name = ?", columnText(q.Name, maxText))
	}
}
