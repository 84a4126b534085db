package beacon_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/sink"
)

// Some clients of other makers send a beacon again until they get a 200, or want a JSON
// object.
func ExampleConfig_answer() {
	h, err := beacon.New(beacon.Config{
		Sink: &beacontest.Recorder{},
		Answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"status":1,"result":"Success"}`)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, beacontest.NewRequest("/collect", beacon.JSON(`{"event":"click"}`)))
	fmt.Println(w.Code, w.Body)
	// Output: 200 {"status":1,"result":"Success"}
}

// Others say who they are in a header only, and send JSON lines as text.
func ExampleConfig_headers() {
	h, err := beacon.New(beacon.Config{
		Type: func(r *http.Request) string {
			if r.URL.Path == "/v1/batch" {
				return "application/x-ndjson"
			}
			return ""
		},
		Enrich: func(r *http.Request, e *beacon.Event) error {
			key, _, ok := r.BasicAuth()
			if !ok {
				return &beacon.RequestError{Status: http.StatusUnauthorized, Reason: "no-write-key"}
			}
			e.Attrs = map[string]string{"project": key}
			return nil
		},
		Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			for _, e := range events {
				fmt.Println(e.Attrs["project"], e.Body)
			}
			return nil
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/v1/batch", strings.NewReader("{\"n\":1}\n{\"n\":2}\n"))
	r.Header.Set("Content-Type", "text/plain")
	fmt.Println(send(h, r))
	r = httptest.NewRequest("POST", "/v1/batch", strings.NewReader("{\"n\":3}\n"))
	r.SetBasicAuth("shop", "")
	fmt.Println(send(h, r))
	// Output:
	// 401
	// shop {"n":3}
	// 204
}

// A JSON array is several events to a typed callback. Each has an ID of its own.
func ExampleOn_array() {
	type item struct {
		Event string `json:"event"`
	}
	typed := beacon.On(func(_ context.Context, e beacon.Event, v item) error {
		fmt.Println(e.ID, v.Event)
		return nil
	})
	err := typed.Consume(context.Background(), []beacon.Event{{ID: "a", Body: beacon.JSON(`[{"event":"open"},{"event":"save"}]`)}})
	fmt.Println(err)
	// Output:
	// a.0 open
	// a.1 save
	// <nil>
}

// Many clients send a list in a member, and the id of an item in the item. What they send
// again after a failure is then known by that id.
func ExampleConfig_batch() {
	split := func(e beacon.Event) []beacon.Event {
		var batch struct {
			Batch []json.RawMessage `json:"batch"`
		}
		body, _ := e.Body.(beacon.JSON)
		if json.Unmarshal(body, &batch) != nil || batch.Batch == nil {
			return []beacon.Event{e} // something else
		}
		events := make([]beacon.Event, len(batch.Batch))
		for i, raw := range batch.Batch {
			var item struct {
				ID   string `json:"messageId"`
				Name string `json:"event"`
			}
			_ = json.Unmarshal(raw, &item) // one without an id gets the batch's, numbered
			events[i] = e
			events[i].ID, events[i].Name, events[i].Body = item.ID, item.Name, beacon.JSON(raw)
		}
		return events
	}
	stored := beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		for _, e := range events {
			fmt.Println(e.ID, e.Name)
		}
		return nil
	})
	h, err := beacon.New(beacon.Config{
		Sink: sink.Split(sink.Dedup(stored, sink.DedupOptions{}), split),
	})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 { // the second time after an answer that was lost
		send(h, beacontest.NewRequest("/collect", beacon.JSON(`{"batch":[{"messageId":"m1","event":"open"},{"messageId":"m2","event":"save"}]}`)))
	}
	// Output:
	// m1 open
	// m2 save
}

// A client that has no ids in what it sends may have one in a header, the same on each try.
func ExampleConfig_idempotencyKey() {
	h, err := beacon.New(beacon.Config{Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		for _, e := range events {
			fmt.Println(e.ID, e.Body)
		}
		return nil
	})})
	if err != nil {
		log.Fatal(err)
	}
	r := beacontest.NewRequest("/collect", beacon.JSON(`{"event":"click"}`))
	r.Header.Set("Idempotency-Key", "k-7")
	send(h, r)
	// Output: k-7 {"event":"click"}
}

// What several beacons say of one page view is joined, in whatever order they come.
func ExamplePageViewOf() {
	report := func(seq uint64, body string) beacon.Event {
		return beacon.Event{Name: "session", Session: "s", View: "v", Page: "https://example.com/", Seq: seq, Mode: beacon.ModeReplace, Body: beacon.JSON(body)}
	}
	views := map[[2]string]beacon.PageView{}
	for _, e := range []beacon.Event{
		report(2, `{"start":1700000000000,"end":1700000060000,"seen":45000,"engaged":30000}`),
		report(1, `{"start":1700000000000,"end":1700000030000,"seen":30000,"engaged":20000}`),
	} {
		if v, ok := beacon.PageViewOf(e); ok {
			key := [2]string{v.Session, v.View}
			views[key] = views[key].Join(v)
		}
	}
	for _, v := range views {
		fmt.Println(v.Page, "open for", v.End.Sub(v.Start), "seen for", v.Visible, "used for", v.Engaged)
	}
	// Output: https://example.com/ open for 1m0s seen for 45s used for 30s
}
