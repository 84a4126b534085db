package live

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	heartbeat    = 15 * time.Second // tells a quiet stream from a dead one
	writeTimeout = 10 * time.Second // a reader this slow may come again
	tick         = time.Second

	// pace is how often a viewer is told something at most, and burst how many events at
	// once: a flood of beacons is no flood of what nobody can read.
	pace  = 200 * time.Millisecond
	burst = 50
)

// serveStream streams what happens, as server-sent events:
//
//	hello     {"run", "title", "gap", "events", "now"}; what a page holds of another run is void
//	missed    how many events passed by, in place of those
//	event     one event, with its position as the id
//	refused   refusals since the last such message
//	sessions  those that changed; all of them in the first one
//	totals    the distributions
//	stats     the counters of the handler
//	health    the checks
//
// A page that comes back says how far it got, in Last-Event-ID if the browser reconnected
// by itself, else in the query.
func (l *Live) serveStream(w http.ResponseWriter, r *http.Request) {
	down, ok := l.enter(r)
	if !ok {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many are looking, or the server is about to end", http.StatusServiceUnavailable)
		return
	}
	defer l.leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold it back

	from := r.Header.Get("Last-Event-ID")
	if from == "" {
		from = r.URL.Query().Get("after")
	}
	over := func() bool {
		select {
		case <-down:
		case <-l.done:
		default:
			return false
		}
		return true
	}
	v := viewer{live: l, stream: stream{w: w, rc: http.NewResponseController(w), over: over}, pos: l.position(from)}
	v.hello()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	spoke := time.Now()
	most := l.opt.MaxEvents // at first all that there is
	for {
		changed := l.news()
		if v.tell(most); time.Since(spoke) >= heartbeat {
			v.stream.printf(":\n\n")
		}
		if v.stream.wrote {
			spoke = time.Now()
		}
		if most = burst; !v.stream.flush() {
			return
		}
		select {
		case <-changed:
			select {
			case <-time.After(pace):
			case <-down:
				return
			case <-l.done:
				return
			case <-r.Context().Done():
				return
			}
		case <-ticker.C:
		case <-down:
			return
		case <-l.done:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// enter counts a viewer, unless there are enough of them or the end has come. down is
// closed when the server that r came to shuts down, which would wait for the stream.
func (l *Live) enter(r *http.Request) (down <-chan struct{}, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if srv, is := r.Context().Value(http.ServerContextKey).(*http.Server); is {
		c := l.servers[srv]
		if c == nil {
			c = make(chan struct{})
			l.servers[srv] = c
			srv.RegisterOnShutdown(func() { close(c) })
		}
		down = c
	}
	select {
	case <-l.done:
		return nil, false
	case <-down:
		return nil, false
	default:
	}
	if l.viewers >= l.opt.MaxViewers {
		return nil, false
	}
	l.viewers++
	return down, true
}

func (l *Live) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.viewers--
}

// news returns what is closed when it is worth looking again.
func (l *Live) news() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// id writes a position for a page to come back with.
func (l *Live) id(pos uint64) string { return l.run + "-" + strconv.FormatUint(pos, 10) }

// position reads an id; one that is not of this run leads to the beginning.
func (l *Live) position(id string) uint64 {
	n, ok := strings.CutPrefix(id, l.run+"-")
	if !ok {
		return 0
	}
	pos, _ := strconv.ParseUint(n, 10, 64) // 0 where it cannot be read
	return pos
}

// A viewer is one who looks, and what it was told.
type viewer struct {
	live    *Live
	stream  stream
	pos     uint64
	refused uint64
	told    sight
	rows    map[string][]byte
}

func (v *viewer) hello() {
	l := v.live
	data, _ := json.Marshal(map[string]any{
		"run": l.run, "title": l.opt.Title, "gap": l.opt.Rules.Gap.Milliseconds(), "events": l.opt.MaxEvents, "now": time.Now().UnixMilli(),
	})
	v.stream.printf("retry: 2000\n")
	v.stream.send("", "hello", data)
}

// tell sends what is new to the viewer, of events no more than most.
func (v *viewer) tell(most int) {
	l := v.live
	l.mu.Lock()
	items, missed := l.ring.since(v.pos, most)
	if v.pos > l.ring.last {
		v.pos = 0
	}
	refused, total := l.refusals.since(v.refused), l.refusals.total
	l.mu.Unlock()

	if v.pos += missed; missed > 0 {
		v.stream.send("", "missed", strconv.AppendUint(nil, missed, 10))
	}
	for _, it := range items {
		v.pos = it.n
		data := it.shown()
		l.mu.Lock()
		l.ring.grown(it)
		l.mu.Unlock()
		if it.again {
			data = append([]byte(`{"again":true,`), data[1:]...)
		}
		v.stream.send(l.id(it.n), "event", data)
	}
	if refused != nil {
		v.refused = total
		v.stream.send("", "refused", refused)
	}
	s := l.look(time.Now())
	v.sessions(s.table)
	news := func(event string, data, before []byte) {
		if data != nil && !bytes.Equal(data, before) {
			v.stream.send("", event, data)
		}
	}
	news("totals", s.table.totals, v.told.table.totals)
	news("stats", s.stats, v.told.stats)
	news("health", s.health, v.told.health)
	v.told = s
}

// sessions sends those that changed, and the ids of those that are gone.
func (v *viewer) sessions(t table) {
	if v.rows != nil && t.version == v.told.table.version {
		return
	}
	news := struct {
		All  bool              `json:"all,omitempty"`
		Rows []json.RawMessage `json:"rows,omitempty"`
		Gone []string          `json:"gone,omitempty"`
	}{All: v.rows == nil}
	rows := make(map[string][]byte, len(t.rows))
	for _, r := range t.rows {
		rows[r.id] = r.data
		if !bytes.Equal(v.rows[r.id], r.data) {
			news.Rows = append(news.Rows, r.data)
		}
	}
	for id := range v.rows {
		if rows[id] == nil {
			news.Gone = append(news.Gone, id)
		}
	}
	v.rows = rows
	if news.All || news.Rows != nil || news.Gone != nil {
		data, _ := json.Marshal(news) // of JSON and texts
		v.stream.send("", "sessions", data)
	}
}

// A stream writes server-sent events until the first error, which it keeps.
type stream struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	over  func() bool // an end does not wait for one who reads a little at a time
	wrote bool        // since the last flush
	err   error
}

// send writes one event. Data must not hold line breaks, and JSON does not.
func (s *stream) send(id, event string, data []byte) {
	if id != "" {
		s.printf("id: %s\n", id)
	}
	s.printf("event: %s\ndata: %s\n\n", event, data)
}

func (s *stream) printf(format string, args ...any) {
	if s.err == nil && s.over() {
		s.err = http.ErrServerClosed
	}
	if s.err != nil {
		return
	}
	s.wrote = true
	s.err = s.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if s.err == nil || errors.Is(s.err, http.ErrNotSupported) {
		_, s.err = fmt.Fprintf(s.w, format, args...)
	}
}

// flush reports whether the stream goes on. Where nothing can be flushed it ends, so that
// what was written arrives, and the page comes back for more.
func (s *stream) flush() bool {
	if s.err == nil && s.wrote {
		s.err = s.rc.Flush()
		s.wrote = false
	}
	return s.err == nil
}
