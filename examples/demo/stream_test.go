package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// A frame is one server-sent event.
type frame struct{ id, event, data string }

// listen opens the event stream of a server, from a position on.
func listen(t *testing.T, url, lastID string) (next func() frame) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type %q", got)
	}
	lines := bufio.NewScanner(resp.Body)
	return func() (m frame) {
		t.Helper()
		for lines.Scan() {
			key, value, _ := strings.Cut(lines.Text(), ": ")
			switch key {
			case "id":
				m.id = value
			case "event":
				m.event = value
			case "data":
				m.data = value
			case "":
				return m
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
		return m
	}
}

func want(t *testing.T, m frame, event, data string) {
	t.Helper()
	if m.event != event || !strings.Contains(m.data, data) {
		t.Errorf("got %+v, want event %s with %s", m, event, data)
	}
}

func TestStream(t *testing.T) {
	d, h, _ := start(t)
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	t.Cleanup(d.hub.close)

	send(h, beacontest.NewRequest("/log-tracking", session("1700000000000", "1700000012340", "early")))
	stored(t, d)
	next := listen(t, srv.URL, "")
	want(t, next(), "hello", d.hub.run)
	early := next() // what came before is part of it
	want(t, early, "beacon", `"session":"12.34 seconds"`)
	want(t, next(), "stats", `"delivered":1`)

	send(h, beacontest.NewRequest("/log-tracking", beacon.Text("late")))
	stored(t, d)
	late := next()
	for late.event == "stats" { // counters of a request that is under way
		late = next()
	}
	want(t, late, "beacon", `"text":"late"`)
	var it struct{ Event beacon.Event }
	if err := json.Unmarshal([]byte(late.data), &it); err != nil || it.Event.Body != beacon.Text("late") {
		t.Errorf("%+v, %v", it, err)
	}

	again := listen(t, srv.URL, early.id)
	want(t, again(), "hello", d.hub.run)
	want(t, again(), "beacon", `"text":"late"`)

	// A reader that stays behind is told how much it cannot have any more.
	for range kept {
		d.hub.add(item{data: []byte(`{}`)})
	}
	behind := listen(t, srv.URL, early.id)
	want(t, behind(), "hello", d.hub.run)
	want(t, behind(), "missed", "1")
	want(t, behind(), "beacon", "{}")
}

// TestPace: a flood of beacons is not as many writes to each reader.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &demo{hub: newHub(kept, keptBytes)}
		ctx, leave := context.WithCancel(t.Context())
		w := &counter{ResponseRecorder: httptest.NewRecorder()}
		ended := make(chan struct{})
		go func() {
			d.serveEvents(w, httptest.NewRequest(http.MethodGet, "/events", nil).WithContext(ctx))
			close(ended)
		}()
		for range 1000 {
			d.hub.add(item{data: []byte("{}")})
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		if got, most := w.flushed.Load(), int64(time.Second/pace)+2; got > most {
			t.Errorf("written %d times in a second, want at most %d", got, most)
		}
		leave()
		<-ended
		if got := strings.Count(w.Body.String(), "event: beacon\n"); got != 1000 {
			t.Errorf("%d events, want all", got)
		}
	})
}

// A counter counts the flushes of a response.
type counter struct {
	*httptest.ResponseRecorder
	flushed atomic.Int64
}

func (c *counter) Flush() { c.flushed.Add(1) }
