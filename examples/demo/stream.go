package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const (
	heartbeat    = 15 * time.Second // tells a quiet stream from a dead one
	writeTimeout = 10 * time.Second // a reader this slow may reconnect
)

// serveEvents streams what arrives, as server-sent events:
//
//	hello    the server's run; what a page holds of another one is void
//	missed   how many events are no longer kept, in place of those
//	beacon   one event
//	stats    the counters of the handler
//
// A page that comes back says how far it got, in Last-Event-ID if the browser
// reconnected by itself, else in the query.
func (d *demo) serveEvents(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")

	from := r.Header.Get("Last-Event-ID")
	if from == "" {
		from = r.URL.Query().Get("after")
	}
	pos := d.hub.position(from)
	s := stream{w: w, rc: http.NewResponseController(w)}
	s.send("", "hello", []byte(d.hub.run))

	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	var stats []byte
	for s.err == nil {
		items, missed, changed := d.hub.since(pos)
		if pos += missed; missed > 0 {
			s.send("", "missed", strconv.AppendUint(nil, missed, 10))
		}
		for _, it := range items {
			pos++
			s.sendJSON(d.hub.id(pos), "beacon", it)
		}
		if now, err := json.Marshal(d.beacons.Stats()); err == nil && !bytes.Equal(now, stats) {
			stats = now
			s.send("", "stats", stats)
		}
		s.flush()

		select {
		case <-changed:
		case <-beat.C:
			s.comment()
		case <-r.Context().Done():
			return
		case <-d.hub.done:
			return
		}
	}
}

// A stream writes server-sent events until the first error, which it keeps.
type stream struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	err error
}

// send writes one event. Data must not hold line breaks, and JSON does not.
func (s *stream) send(id, event string, data []byte) {
	if id != "" {
		s.printf("id: %s\n", id)
	}
	s.printf("event: %s\ndata: %s\n\n", event, data)
}

func (s *stream) sendJSON(id, event string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		s.err = err
		return
	}
	s.send(id, event, data)
}

func (s *stream) comment() { s.printf(":\n\n") }

func (s *stream) printf(format string, args ...any) {
	if s.err != nil {
		return
	}
	s.err = s.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if s.err == nil || errors.Is(s.err, http.ErrNotSupported) {
		_, s.err = fmt.Fprintf(s.w, format, args...)
	}
}

func (s *stream) flush() {
	if s.err == nil {
		s.err = s.rc.Flush()
	}
}
