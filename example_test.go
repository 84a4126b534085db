package beacon_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// send stands in for a browser.
func send(h http.Handler, r *http.Request) int {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// The whole of it: a sink, a handler, a mux.
func Example() {
	sink := beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		for _, e := range events {
			switch b := e.Body.(type) {
			case beacon.Form:
				fmt.Println("form:", b.Get("msg"))
			case beacon.JSON:
				fmt.Println("JSON:", string(b))
			case beacon.Empty:
				fmt.Println("pixel:", e.Query.Get("page"))
			}
		}
		return nil // taken: the browser gets a 204
	})
	h, err := beacon.New(beacon.Config{Sink: sink})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/log-tracking", h)

	send(mux, beacontest.NewRequest("/log-tracking", beacon.Form{{Name: "msg", Value: "saved"}}))
	send(mux, beacontest.NewRequest("/log-tracking", beacon.JSON(`{"lcp":1234.5}`)))
	send(mux, httptest.NewRequest("GET", "/log-tracking?page=home", nil))
	// Output:
	// form: saved
	// JSON: {"lcp":1234.5}
	// pixel: home
}

// A typed callback gets its fields from forms, queries and JSON alike.
func ExampleOn() {
	type tracking struct {
		Msg  string        `schema:"msg" json:"msg"`
		Took time.Duration `schema:"took" json:"took"` // milliseconds
	}
	h, err := beacon.New(beacon.Config{
		Sink: beacon.On(func(_ context.Context, e beacon.Event, t tracking) error {
			fmt.Println(t.Msg, t.Took, e.Errors)
			return nil
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	send(h, beacontest.NewRequest("/", beacon.Form{{Name: "msg", Value: "click"}, {Name: "took", Value: "12.5"}}))
	send(h, beacontest.NewRequest("/", beacon.JSON(`{"msg":"hover","took":12.5}`)))
	send(h, beacontest.NewRequest("/", beacon.Form{{Name: "msg", Value: "scroll"}, {Name: "took", Value: "soon"}}))
	// Output:
	// click 12.5ms []
	// hover 12.5ms []
	// scroll 0s [beacon: field "took": is not a duration: "soon"]
}

// The middleware listens on one path and leaves the application alone.
func ExampleHandler_Middleware() {
	h, err := beacon.New(beacon.Config{
		Path: "/signal",
		Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			fmt.Println("beacon:", events[0].Body)
			return nil
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	app := http.NewServeMux()
	app.HandleFunc("/", func(http.ResponseWriter, *http.Request) { fmt.Println("application") })
	wrapped := h.Middleware(app)

	send(wrapped, beacontest.NewRequest("/signal", beacon.Text("bye")))
	send(wrapped, httptest.NewRequest("GET", "/", nil))
	// Output:
	// beacon: bye
	// application
}

// Capture feeds the sink from a route that the application answers itself.
func ExampleHandler_Capture() {
	var stored beacontest.Recorder
	h, err := beacon.New(beacon.Config{Sink: &stored})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/log-tracking", h.Capture(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := beacon.FromContext(r.Context())[0]
		fmt.Println("next has", e.Body.(beacon.Form).Get("msg"), "and", r.FormValue("msg"))
		w.WriteHeader(http.StatusAccepted)
	})))

	fmt.Println(send(mux, beacontest.NewRequest("/log-tracking", beacon.Form{{Name: "msg", Value: "hi"}})))
	fmt.Println("the sink has", len(stored.Events()))
	// Output:
	// next has hi and hi
	// 202
	// the sink has 1
}

// Pages of other origins need to be on the list. Their beacons always come with
// credentials, so the browser insists on an exact answer.
func ExampleConfig_origins() {
	h, err := beacon.New(beacon.Config{
		Sink:    &beacontest.Recorder{},
		Origins: []string{"https://*.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, origin := range []string{"https://shop.example.com", "https://example.org"} {
		preflight := httptest.NewRequest("OPTIONS", "https://collect.example.net/log", nil)
		preflight.Header.Set("Origin", origin)
		preflight.Header.Set("Access-Control-Request-Method", "POST")
		preflight.Header.Set("Access-Control-Request-Headers", "content-type")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, preflight)
		fmt.Printf("%d %q %q\n", w.Code, w.Header().Get("Access-Control-Allow-Origin"), w.Header().Get("Beacon-Refused"))
	}
	// Output:
	// 204 "https://shop.example.com" ""
	// 403 "" "origin"
}

// A page that the handler wrote is known by its token: the client sends it along from
// the tag, and a page without the client puts it into the query.
func ExampleConfig_tokens() {
	h, err := beacon.New(beacon.Config{
		TokenKeys: [][]byte{[]byte("32 random bytes of a secret store")},
		Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			fmt.Println(events[0].Body, events[0].Verified, events[0].Query)
			return nil
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	serve(h, beacontest.NewRequest("/_pb?_t="+h.Token(), beacon.Text("from the page")))
	serve(h, beacontest.NewRequest("/_pb?_t=v1.a.guess", beacon.Text("from a stranger")))
	// Output:
	// from the page true []
	// from a stranger false []
}

// A session is the time between two fields of what the page sent.
func ExampleSessionOf() {
	e := beacon.Event{Body: beacon.Form{
		{Name: "start", Value: "1700000000000"}, // Date.now() when the page came
		{Name: "end", Value: "1700000012340"},   // and when it went
	}}
	s, err := beacon.SessionOf(e)
	fmt.Println("In session for:", s, err)

	e.Body = beacon.Form{{Name: "start", Value: "undefined"}}
	_, err = beacon.SessionOf(e)
	fmt.Println(err)
	// Output:
	// In session for: 12.34 seconds <nil>
	// beacon: field "start": not a time: "undefined"
}

// A visitor who asks not to be tracked is the host's decision.
func ExampleConfig_enrich() {
	h, err := beacon.New(beacon.Config{
		Enrich: func(r *http.Request, e *beacon.Event) error {
			if e.Privacy.GPC {
				return beacon.ErrDrop
			}
			e.Attrs = map[string]string{"user": r.Header.Get("X-User")} // from the host's own authentication
			return nil
		},
		Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			fmt.Println("from user", events[0].Attrs["user"])
			return nil
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	r := beacontest.NewRequest("/", beacon.Text("x"))
	r.Header.Set("X-User", "7")
	fmt.Println(send(h, r))
	r = beacontest.NewRequest("/", beacon.Text("x"))
	r.Header.Set("Sec-GPC", "1")
	fmt.Println(send(h, r))
	// Output:
	// from user 7
	// 204
	// 204
}

// A mux pattern with a method answers the preflight itself, with 405, and the
// beacon behind it is never sent. Mount the handler without one.
func ExampleHandler_incorrectPattern() {
	h, err := beacon.New(beacon.Config{Sink: &beacontest.Recorder{}, Origins: []string{"https://app.example"}})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /wrong", h)
	mux.Handle("/right", h)

	for _, path := range []string{"/wrong", "/right"} {
		preflight := httptest.NewRequest("OPTIONS", path, nil)
		preflight.Header.Set("Origin", "https://app.example")
		preflight.Header.Set("Access-Control-Request-Method", "POST")
		fmt.Println(path, send(mux, preflight))
	}
	// Output:
	// /wrong 405
	// /right 204
}

// A host that wraps its mux in http.CrossOriginProtection refuses the beacons of
// other origins before they get here. The handler has its own list: exempt it.
func ExampleHandler_crossOriginProtection() {
	h, err := beacon.New(beacon.Config{Sink: &beacontest.Recorder{}, Origins: []string{"https://app.example"}})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/log-tracking", h)

	crossSite := func() *http.Request {
		r := beacontest.NewRequest("/log-tracking", beacon.Text("x"))
		r.Header.Set("Origin", "https://app.example")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		return r
	}
	var protection http.CrossOriginProtection
	fmt.Println(send(protection.Handler(mux), crossSite()))
	protection.AddInsecureBypassPattern("/log-tracking")
	fmt.Println(send(protection.Handler(mux), crossSite()))
	// Output:
	// 403
	// 204
}
