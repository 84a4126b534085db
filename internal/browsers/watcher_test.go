package browsers

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// underTest is a program with a Watcher in it, which is asked at /_test/events. Pages of
// origins may send there as well as its own.
func underTest(t *testing.T, page func(h *beacon.Handler, r *http.Request) string, origins ...string) *httptest.Server {
	t.Helper()
	watcher := &beacontest.Watcher{}
	h, err := beacon.New(watcher.Config(beacon.Config{Origins: origins}))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/_test/events", watcher)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<!doctype html><title>page</title>", page(h, r))
	})
	srv := httptest.NewServer(h.Middleware(mux))
	t.Cleanup(srv.Close)
	return srv
}

// asked returns the answer to a test's question.
func asked(t *testing.T, srv *httptest.Server, query string) (status int, answer []byte) {
	t.Helper()
	res, err := http.Get(srv.URL + "/_test/events?" + query)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, answer
}

// everyWay is how a page can send a beacon, with what then arrives.
const everyWay = `
	navigator.sendBeacon("/_pb", "sendBeacon" + mark);
	fetch("/_pb", {method: "POST", body: "fetch" + mark, keepalive: true});
	await new Promise(done => { // which ends with the page
		const image = new Image();
		image.onload = image.onerror = done;
		image.src = "/_pb?text=" + encodeURIComponent("image" + mark);
	});
	globalThis.fetchLater?.("/_pb", {method: "POST", body: "later" + mark});
	addEventListener("pagehide", () => navigator.sendBeacon("/_pb", "goodbye" + mark));
	const now = new beacon.PendingPostBeacon("/_pb"); now.setData("class" + mark); now.sendNow();
	globalThis.end = new beacon.PendingPostBeacon("/_pb"); end.setData("end" + mark);
	beacon.log("log" + mark)`

// testWatcher runs two tests in one browser, one after the other, while other browsers
// run theirs against the same program: every beacon of a page, however it is sent, is that
// of its test and of no other.
func testWatcher(t *testing.T, b *Browser, srv *httptest.Server) {
	for round := range 2 {
		name, _, _ := strings.Cut(b.Version(), " ")
		test, mark := fmt.Sprintf("%s.%d", name, round), fmt.Sprintf(" of %s %d", name, round)
		p := b.Open(srv.URL + "/blank")
		p.Eval(`document.cookie = "beacontest=`+test+`; path=/; samesite=lax"`, nil)
		p.Navigate(srv.URL + "/page")
		p.WaitFor(ready)
		var later bool
		p.Eval(`const mark = "`+mark+`";`+everyWay+`; return !!globalThis.fetchLater`, &later)
		p.leave()
		want := []string{"class", "end", "fetch", "goodbye", "image", "log", "sendBeacon"}
		if later {
			want = append(want, "later")
		}
		slices.Sort(want)
		checkWays(t, srv, test, want, mark)
	}
}

// checkWays waits for a test's events, of which there have to be those wanted and the
// views of two pages, and no more.
func checkWays(t *testing.T, srv *httptest.Server, test string, want []string, mark string) {
	t.Helper()
	status, answer := asked(t, srv, fmt.Sprintf("n=%d&timeout=20s&test=%s", len(want)+2, test))
	var events []beacon.Event
	if err := json.Unmarshal(answer, &events); status != 200 || err != nil {
		t.Errorf("%s: %d %s", test, status, answer)
		return
	}
	var got []string
	for _, e := range events {
		text := e.Query.Get("text")
		switch b := e.Body.(type) {
		case beacon.Text:
			text = string(b)
		case beacon.JSON:
			var logged struct{ Msg string }
			if err := json.Unmarshal(b, &logged); err != nil {
				t.Errorf("%s: %v", b, err)
			}
			text = logged.Msg
		}
		if way, ok := strings.CutSuffix(text, mark); ok {
			got = append(got, way)
		} else if e.Name != "session" {
			t.Errorf("%s: %s, %q", test, e.Name, text)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got)\n%s\n%s", test, diff, answer)
	}
}
