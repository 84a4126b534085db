package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const (
	heartbeat    = 15 * time.Second // tells a quiet stream from a dead one
	writeTimeout = 10 * time.Second // a reader this slow may reconnect

	// pace is how often a reader is told something at most: a flood of beacons should
	// not cost as many writes to each reader.
	pace = 20 * time.Millisecond
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
		n := d.hub.since(pos)
		if pos += n.missed; n.missed > 0 {
			s.send("", "missed", strconv.AppendUint(nil, n.missed, 10))
		}
		for _, it := range n.items {
			pos++
			s.send(d.hub.id(pos), "beacon", it.data)
		}
		if !bytes.Equal(n.stats, stats) {
			stats = n.stats
			s.send("", "stats", stats)
		}
		s.flush()

		select {
		case <-n.changed:
			time.Sleep(pace)
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
