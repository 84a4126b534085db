package beacontest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// newApp is the program that is tested. Only under test, it answers for its events.
func newApp(config beacon.Config, underTest bool) (http.Handler, error) {
	mux := http.NewServeMux()
	if underTest {
		watcher := &beacontest.Watcher{}
		config = watcher.Config(config)
		mux.Handle("/_test/events", watcher)
	}
	h, err := beacon.New(config)
	if err != nil {
		return nil, err
	}
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<!doctype html><script src="/_pb.js" async></script>`)
	})
	return h.Middleware(mux), nil
}

// A test in another process asks for what its browser sent. Here a request stands for
// the browser.
func ExampleWatcher() {
	store := beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })
	app, err := newApp(beacon.Config{Sink: store}, true)
	if err != nil {
		log.Fatal(err)
	}
	srv := httptest.NewServer(app)
	defer srv.Close()

	r, err := http.NewRequest("POST", srv.URL+"/_pb", strings.NewReader("left"))
	if err != nil {
		log.Fatal(err)
	}
	r.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	r.AddCookie(&http.Cookie{Name: beacontest.TestCookie, Value: "test-1"})
	if _, err := http.DefaultClient.Do(r); err != nil {
		log.Fatal(err)
	}

	res, err := http.Get(srv.URL + "/_test/events?test=test-1&n=1&timeout=10s")
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	var events []beacon.Event
	if err := json.NewDecoder(res.Body).Decode(&events); err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.StatusCode, events[0].Body)

	// Of a test whose events do not come, the answer says why.
	res, err = http.Get(srv.URL + "/_test/events?test=test-2&timeout=10ms")
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	var missing struct{ Error string }
	if err := json.NewDecoder(res.Body).Decode(&missing); err != nil {
		log.Fatal(err)
	}
	says, _, _ := strings.Cut(missing.Error, " Does the page")
	fmt.Println(res.StatusCode, says)
	// Output:
	// 200 left
	// 504 0 of 1 events came within 10ms; in all: none. Nothing reached the handler.
}
