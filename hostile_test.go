package beacon_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// What somebody who wants to hurt the host sends, or a host does by mistake.

type (
	tree  map[string]tree
	list  []list
	chain struct {
		Next *chain        `json:"next"`
		Took time.Duration `json:"took"`
		Own  map[string]chain
	}
	textKey string

	Selfish struct {
		*Selfish
		N int `json:"n"`
	}
	Left struct {
		*Right
		N int
	}
	Right struct{ *Left }
	Quiet struct {
		*Quiet `schema:"-"`
		N      int `json:"n"`
	}
)

func (k *textKey) UnmarshalText(b []byte) error { *k = textKey("<" + string(b) + ">"); return nil }

// TestRecursiveTypes: a type that holds itself is walked to its end.
func TestRecursiveTypes(t *testing.T) {
	var v struct {
		T tree `json:"t"`
		L list `json:"l"`
		chain
	}
	err := beacon.Event{Body: beacon.JSON(`{"t":{"a":{"b":{}}},"l":[[],[[]]],"took":5,"next":{"took":6,"next":{"took":7}},"Own":{"x":{"took":8}}}`)}.Bind(&v)
	if err != nil || len(v.T["a"]) != 1 || len(v.L) != 2 || v.Took != 5*time.Millisecond || v.Next.Next.Took != 7*time.Millisecond || v.Own["x"].Took != 8*time.Millisecond {
		t.Errorf("%v %+v", err, v)
	}
	beacon.On(func(context.Context, beacon.Event, struct{ A, B, C, D *chain }) error { return nil })
}

// TestSelfEmbedded: a type that embeds itself is refused when it is met, and one that says
// that no form fills it is not.
func TestSelfEmbedded(t *testing.T) {
	form := beacon.Event{Body: beacon.Form{{Name: "N", Value: "7"}}}
	for _, v := range []any{new(Selfish), new(Right), new(struct{ Deep *Left })} {
		if err := form.Bind(v); err == nil || !strings.Contains(err.Error(), "embeds itself") {
			t.Errorf("%T: %v", v, err)
		}
	}
	var v Quiet
	if err := form.Bind(&v); err != nil || v.N != 7 {
		t.Errorf("%v %+v", err, v)
	}
	if err := (beacon.Event{Body: beacon.JSON(`{"n":8}`)}).Bind(&v); err != nil || v.N != 8 {
		t.Errorf("%v %+v", err, v)
	}
}

// TestMapKeys are what encoding/json makes of them.
func TestMapKeys(t *testing.T) {
	var v struct {
		A map[int]time.Duration
		B map[textKey]time.Duration
		C map[string]time.Duration
	}
	err := beacon.Event{Body: beacon.JSON(`{"a":{"1":12,"x":13},"b":{"k":12},"c":{"":12}}`)}.Bind(&v)
	const d = 12 * time.Millisecond
	if len(v.A) != 1 || v.A[1] != d || v.B["<k>"] != d || v.C[""] != d {
		t.Errorf("%+v", v)
	}
	if err == nil || !strings.Contains(err.Error(), `"a.x": its name does not fit`) {
		t.Error(err)
	}
}

// TestLargeArrays: an array of two bytes an element is not half a million calls.
func TestLargeArrays(t *testing.T) {
	for n, want := range map[int]int{999: 999, 1000: 1000, 1001: 1, 500_000: 1} {
		calls := 0
		sink := beacon.On(func(_ context.Context, e beacon.Event, _ struct{}) error { calls++; return nil })
		body := beacon.JSON("[" + strings.Repeat("0,", n-1) + "0]")
		var m1, m2 runtime.MemStats
		runtime.ReadMemStats(&m1)
		err := sink.Consume(t.Context(), []beacon.Event{{ID: "a", Body: body}})
		runtime.ReadMemStats(&m2)
		if err != nil || calls != want {
			t.Errorf("%d elements: %d calls, %v", n, calls, err)
		}
		if grown := m2.TotalAlloc - m1.TotalAlloc; grown > 2<<20 {
			t.Errorf("%d elements: %d bytes", n, grown)
		}
	}
}

// TestNotesAreBounded: what does not fit is told, but not half a million times.
func TestNotesAreBounded(t *testing.T) {
	events := receive(t, "application/reports+json", `[{"type":"t","age":"",`+strings.Repeat(`"age":"",`, 50_000)+`"url":5}]`)
	if n := len(events[0].Errors); n != 2 {
		t.Errorf("%d notes", n)
	}
	var v struct{ A []struct{ X [4]int } }
	err := beacon.Event{Body: beacon.JSON(`{"A":[` + strings.Repeat("0,", 50_000) + `0]}`)}.Bind(&v)
	if err == nil || len(err.Error()) > 20_000 || !strings.Contains(err.Error(), "49901 values more do not fit") {
		t.Errorf("%.200v", err)
	}
}

// TestDepthBehindAnEnvelope: what starts as an envelope and is none is held to MaxDepth
// as everything is.
func TestDepthBehindAnEnvelope(t *testing.T) {
	deep := strings.Repeat("[", 600) + strings.Repeat("]", 600)
	for contentType, body := range map[string]string{
		"text/plain": `{"v":1,"m":"x","a":` + deep + `}`, "": `{"v":1,"m":"append","k":5,"ev":` + deep + `}`,
	} {
		e := receive(t, contentType, body)[0]
		if e.Body.Kind() == "json" || len(e.Errors) == 0 {
			t.Errorf("%s: %s %v", contentType, e.Body.Kind(), e.Errors)
		}
	}
	events := receive(t, "text/plain", `{"v":1,"m":"append","k":"k","ev":[{"n":1,"d":1},`+deep+`]}`)
	if got := show(events); len(got) != 2 || !strings.HasPrefix(got[1], "binary") {
		t.Errorf("%.100s", got)
	}
	// The order of lines decides nothing.
	if got := show(receive(t, "application/json", deep+"\n{\"a\":1}")); len(got) != 2 || got[1] != `json {"a":1}` {
		t.Errorf("%.100s", got)
	}
	// A broken array is kept whole.
	if got := receive(t, "application/csp-report", `[\`); len(got) != 1 || string(got[0].Body.(beacon.Binary).Data) != `[\` {
		t.Errorf("%v", got)
	}
}

// TestCaptureOfADroppedRequest: who drops a request before its body is read leaves that
// to the route.
func TestCaptureOfADroppedRequest(t *testing.T) {
	h := newHandler(t, beacon.Config{Sink: nowhere, Admit: func(*http.Request) error { return beacon.ErrDrop }})
	serve(h.Capture(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); string(b) != "hello" || err != nil || r.ContentLength != 5 {
			t.Errorf("%q %v, length %d", b, err, r.ContentLength)
		}
		if e := beacon.FromContext(r.Context()); e != nil {
			t.Errorf("%v", e)
		}
	})), beacontest.NewRequest("/", beacon.Text("hello")))
}

// TestCaptureOwnsItsAttrs: what the sink does to its events the route does not see.
func TestCaptureOwnsItsAttrs(t *testing.T) {
	h := newHandler(t, beacon.Config{
		Enrich: func(_ *http.Request, e *beacon.Event) error { e.Attrs = map[string]string{"k": "v"}; return nil },
		Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			maps.DeleteFunc(events[0].Attrs, func(string, string) bool { return true })
			return nil
		}),
	})
	serve(h.Capture(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if got := beacon.FromContext(r.Context())[0].Attrs["k"]; got != "v" {
			t.Errorf("%q", got)
		}
	})), beacontest.NewRequest("/", beacon.Text("hello")))
}

// TestCapturePreflight: what a page of an unlisted origin cannot send is not said to be
// allowed; and no report of the browser's runs the host's route.
func TestCapturePreflight(t *testing.T) {
	h := newHandler(t, beacon.Config{Sink: nowhere, AnyOrigin: true, Origins: []string{"https://app.example"}})
	ran := false
	route := h.Capture(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true }))
	ask := func(origin string) int {
		r := httptest.NewRequest("OPTIONS", "/", nil)
		r.Header = http.Header{"Origin": {origin}, "Sec-Fetch-Site": {"cross-site"}, "Access-Control-Request-Method": {"PUT"}}
		r.Header.Set("Access-Control-Request-Method", "POST")
		return serve(route, r).StatusCode
	}
	if got := ask("https://evil.example"); got != 403 {
		t.Errorf("unlisted: %d", got)
	}
	if got := ask("https://app.example"); got != 204 {
		t.Errorf("listed: %d", got)
	}
	if st := h.Stats(); st.Refused["origin"] != 1 || st.Preflights != 1 {
		t.Errorf("%+v", st)
	}
	own := newHandler(t, beacon.Config{Sink: nowhere})
	r := httptest.NewRequest("POST", "/", strings.NewReader(`{"csp-report":{}}`))
	r.Header = http.Header{"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}, "Content-Type": {"application/csp-report"}}
	if res := serve(own.Capture(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true })), r); res.StatusCode != 403 || ran {
		t.Errorf("report: %d, route ran: %v", res.StatusCode, ran)
	}
}

// TestOnRefusedGetsAllOrNothing, but for refusals of the body itself; and a body that
// panics takes nothing down.
func TestOnRefusedGetsAllOrNothing(t *testing.T) {
	var got []string
	h := newHandler(t, beacon.Config{Sink: nowhere, MaxBody: 5, OnRefused: func(_ *http.Request, body []byte, why *beacon.RequestError) {
		got = append(got, fmt.Sprintf("%s %q", why.Reason, body))
	}})
	send := func(body io.Reader, origin string) {
		r := httptest.NewRequest("POST", "/", body)
		r.Header.Set("Origin", origin)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if origin == "" {
			r.Header = http.Header{}
		}
		if res := serve(h, r); res.StatusCode/100 != 4 {
			t.Errorf("%d", res.StatusCode)
		}
	}
	send(strings.NewReader("hello"), "https://evil.example")
	send(strings.NewReader("hello world"), "https://evil.example")
	send(strings.NewReader("hello world"), "")
	send(panicking{}, "https://evil.example")
	want := []string{`origin "hello"`, `origin ""`, `body-too-large "hello"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestOnRefusedWhenBusy: what was read of a body until there was no more room is no dead
// letter either.
func TestOnRefusedWhenBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold, got := make(chan struct{}), "none"
		h := newHandler(t, beacon.Config{
			MaxBody: 100_000, Limits: beacon.Limits{MaxDecoded: 20_000}, MaxInFlight: 120_000,
			Sink:      beacon.SinkFunc(func(context.Context, []beacon.Event) error { <-hold; return nil }),
			OnRefused: func(_ *http.Request, body []byte, why *beacon.RequestError) { got = fmt.Sprint(why.Reason, len(body)) },
		})
		var all sync.WaitGroup
		all.Go(func() { serve(h, beacontest.NewRequest("/", beacon.Text(strings.Repeat("x", 100_000)))) })
		synctest.Wait()
		if res := serve(h, beacontest.NewRequest("/", beacon.Text(strings.Repeat("y", 50_000)))); res.StatusCode != 429 || got != "too-busy0" {
			t.Errorf("%d %s", res.StatusCode, got)
		}
		close(hold)
		all.Wait()
	})
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("boom") }

// TestBodyThatNeverComes: a reader that returns nothing for ever ends.
func TestBodyThatNeverComes(t *testing.T) {
	h := newHandler(t, beacon.Config{Sink: nowhere})
	if res := serve(h, httptest.NewRequest("POST", "/", nothing{})); res.StatusCode != 400 || res.Header.Get("Beacon-Refused") != beacon.ReasonBodyBroken {
		t.Errorf("%d", res.StatusCode)
	}
	// The least that New takes is enough, for a body of unknown length too.
	small := newHandler(t, beacon.Config{Sink: nowhere, MaxBody: 100, Limits: beacon.Limits{MaxDecoded: 100}, MaxInFlight: 200})
	r := httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("x", 100)))
	r.ContentLength = -1
	if res := serve(small, r); res.StatusCode != 204 {
		t.Errorf("%d", res.StatusCode)
	}
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

// TestShutdownDoesNotWaitForLater requests, which may be as slow as they like.
func TestShutdownDoesNotWaitForLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate, slow := make(chan struct{}), make(chan struct{})
		h := newHandler(t, beacon.Config{
			Sink:      beacon.SinkFunc(func(context.Context, []beacon.Event) error { <-gate; return nil }),
			OnRefused: func(*http.Request, []byte, *beacon.RequestError) { <-slow },
		})
		var all sync.WaitGroup
		all.Go(func() { serve(h, beacontest.NewRequest("/", beacon.Text("before"))) })
		synctest.Wait()
		down := make(chan error)
		go func() { down <- h.Shutdown(t.Context()) }()
		synctest.Wait()
		all.Go(func() { serve(h, beacontest.NewRequest("/", beacon.Text("after"))) })
		synctest.Wait()
		close(gate)
		if err := <-down; err != nil {
			t.Error(err)
		}
		if n := h.Stats().Active; n != 1 {
			t.Errorf("%d active", n)
		}
		close(slow)
		all.Wait()
	})
}

// TestStatsOfNothing have no null in them.
func TestStatsOfNothing(t *testing.T) {
	st := newHandler(t, beacon.Config{Sink: nowhere}).Stats()
	if b, err := json.Marshal(st); err != nil || strings.Contains(string(b), "null") {
		t.Errorf("%s %v", b, err)
	}
}

// TestEveryRequestIsCounted once, also one whose goroutine the sink ends.
func TestEveryRequestIsCounted(t *testing.T) {
	h := newHandler(t, beacon.Config{Sink: beacon.SinkFunc(func(context.Context, []beacon.Event) error { runtime.Goexit(); return nil })})
	done := make(chan struct{})
	go func() { defer close(done); serve(h, beacontest.NewRequest("/", beacon.Text("x"))) }()
	<-done
	if st := h.Stats(); st.Failed != 1 || st.Received != 1 {
		t.Errorf("%+v", st)
	}
}

// TestErrorsOfErrors: a part that failed of something else is no part of this.
func TestErrorsOfErrors(t *testing.T) {
	nested := &beacon.PartialError{Failed: []int{0}, Err: beacon.ErrPermanent}
	sink := beacon.On(func(context.Context, beacon.Event, struct{}) error { return fmt.Errorf("inner: %w", nested) })
	err := sink.Consume(t.Context(), []beacon.Event{{Body: beacon.Empty{}}, {Body: beacon.Empty{}}})
	part, ok := errors.AsType[*beacon.PartialError](err)
	if !ok || len(part.Failed) != 2 || !beacon.IsPermanent(err) {
		t.Errorf("%v", err)
	}
	if _, ok := errors.AsType[*beacon.PartialError](sink.Consume(t.Context(), []beacon.Event{{Body: beacon.Empty{}}})); ok {
		t.Error("positions of another slice")
	}
	err = beacon.JoinErrors(&beacon.PartialError{}, &beacon.PartialError{Failed: []int{0}})
	if _, ok := errors.AsType[*beacon.PartialError](err); err == nil || ok {
		t.Errorf("two failures are %v", err)
	}
	// The answer that one of them chose is not that of the one that decides.
	err = beacon.JoinErrors(&beacon.RequestError{Status: 403, Reason: "own"}, &beacon.RetryAfterError{After: time.Minute, Err: io.EOF})
	if re, ok := errors.AsType[*beacon.RequestError](err); ok {
		t.Errorf("the answer of a permanent error beside a temporary one: %v", re)
	}
}

// TestPageViewsOfNonsense are none.
func TestPageViewsOfNonsense(t *testing.T) {
	for _, body := range []beacon.Body{
		beacon.JSON(`{"start":0,"end":1700000000000}`), beacon.JSON(`{"start":1234.5,"end":1700000000000}`), beacon.JSON(`{"start":-1,"end":1700000000000}`),
		beacon.JSON(`{"start":8640000000000000}`), beacon.JSON(`{"start":1e400}`), beacon.JSON(`{"start":"NaN"}`),
	} {
		if v, ok := beacon.PageViewOf(beacon.Event{Body: body}); ok {
			t.Errorf("%s: %+v", body, v)
		}
	}
	query := parseQuery("start=1700000000000&end=1700000001000")
	for _, body := range []beacon.Body{beacon.Report{Type: "crash"}, beacon.Ping{}} {
		if v, ok := beacon.PageViewOf(beacon.Event{Body: body, Query: query}); ok {
			t.Errorf("%T: %+v", body, v)
		}
	}
	if v, ok := beacon.PageViewOf(beacon.Event{Body: beacon.JSON(`{"start":1700000000000,"seen":-5}`)}); !ok || v.Unseen {
		t.Errorf("%v %+v", ok, v)
	}
}

// TestEventJSONOfOthers: null is nothing, whoever wrote it, and what is read keeps
// nothing of the text.
func TestEventJSONOfOthers(t *testing.T) {
	const all = `{"v":1,"id":null,"time":null,"body":{"kind":"json","json":null,"raw":null},"query":null,"seq":null,"mode":null,"request":null,"gpc":null,"attrs":null,"errors":null}`
	var got beacon.Event
	if err := json.Unmarshal([]byte(all), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(beacon.Event{Body: beacon.JSON("null")}, got, compareAddr); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := json.Unmarshal([]byte(`{"v":1,"body":null,"query":[]}`), &got); err != nil || got.Body != nil || got.Query == nil {
		t.Errorf("%v %+v", err, got)
	}
	text := []byte(`{"v":1,"id":"abc","body":{"kind":"json","json":{"a":1}}}`)
	if err := got.UnmarshalJSON(text); err != nil {
		t.Fatal(err)
	}
	for i := range text {
		text[i] = 'X'
	}
	if got.ID != "abc" || got.Body.(beacon.JSON).String() != `{"a":1}` {
		t.Errorf("the event became %+v", got)
	}
}

// TestSharedLists: what fn appends to the errors of one event, or to the body of one
// element, reaches no other.
func TestSharedLists(t *testing.T) {
	noted := make([]beacon.FieldError, 1, 10)
	noted[0].Key = "earlier"
	var kept [][]beacon.FieldError
	sink := beacon.On(func(_ context.Context, e beacon.Event, _ struct{ N int }) error {
		if b, ok := e.Body.(beacon.JSON); ok {
			_ = append(b, "XXXX"...)
		}
		kept = append(kept, e.Errors)
		return nil
	})
	body := beacon.JSON(`[{"n":"x"},{"n":"y"}]`)
	if err := sink.Consume(t.Context(), []beacon.Event{{Body: body, Errors: noted}}); err != nil {
		t.Fatal(err)
	}
	if string(body) != `[{"n":"x"},{"n":"y"}]` {
		t.Errorf("the body became %s", body)
	}
	if kept[0][1].Value != "x" || kept[1][1].Value != "y" {
		t.Errorf("%v", kept)
	}
}

// TestAdapterRequestIsCopiedOnce, and not for each of its events.
func TestAdapterRequestIsCopiedOnce(t *testing.T) {
	type key struct{}
	h := newHandler(t, beacon.Config{Sink: nowhere})
	r := httptest.NewRequest("POST", "/b", strings.NewReader(strings.Repeat("0\n", 100))).WithContext(context.WithValue(t.Context(), key{}, 1))
	r.Header = http.Header{"Content-Type": {"application/x-ndjson"}, "User-Agent": {strings.Repeat("x", 8<<10)}}
	r.URL.RawQuery = strings.Repeat("a", 60<<10)
	var m1, m2 runtime.MemStats
	runtime.ReadMemStats(&m1)
	if res := serve(h, r); res.StatusCode != 204 {
		t.Fatal(res.StatusCode)
	}
	runtime.ReadMemStats(&m2)
	if grown := m2.TotalAlloc - m1.TotalAlloc; grown > 1<<20 {
		t.Errorf("%d bytes for 70 KB", grown)
	}
}

// TestOddDetails that decide something.
func TestOddDetails(t *testing.T) {
	// Said under its old name and under its new one, the old one counts.
	e := receive(t, "application/csp-report", `{"csp-report":{"documentURL":"new","document-uri":"old","blockedURL":"b"}}`)[0]
	if r := e.Body.(beacon.Report); r.URL != "old" || string(r.Body) != `{"documentURL":"old","blockedURL":"b"}` {
		t.Errorf("%s %s", r.URL, r.Body)
	}
	// One line is not several.
	if got := show(receive(t, "application/json", "{\"a\":1}x\n")); len(got) != 1 || !strings.HasPrefix(got[0], "binary") {
		t.Error(got)
	}
	// The sequence of the query is not that of an item that has none.
	var rec beacontest.Recorder
	serve(newHandler(t, beacon.Config{Sink: &rec}), beacontest.NewRequest("/b?_b=s.5", beacon.Text(`{"v":1,"m":"append","k":"k","pv":"v","ev":[{"n":0}]}`)))
	if e := rec.Events()[0]; e.Seq != 0 || e.Series != "k" {
		t.Errorf("seq %d of series %q", e.Seq, e.Series)
	}
	if id := receive(t, "text/plain", "x", func(h map[string][]string) { h["Idempotency-Key"] = []string{`""`} })[0].ID; len(id) != 36 {
		t.Errorf("ID %q", id)
	}
}
