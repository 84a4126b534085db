package beacon

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon/internal/pagetoken"
	"github.com/pagebeacon/beacon/internal/wire"
)

// TestAllocations holds the budgets of the hot path. Time is for benchmarks; the
// number of allocations is the same on every machine.
func TestAllocations(t *testing.T) {
	check := func(name string, budget float64, f func()) {
		t.Helper()
		if got := testing.AllocsPerRun(100, f); got > budget {
			t.Errorf("%s: %v allocations, budget %v", name, got, budget)
		}
	}
	lim := bounds{Limits: Limits{}.withDefaults()}
	check("multipart", 1, func() { _, _ = parseMultipart(benchMP3, benchBoundary, &lim) })
	check("multipart with a file", 2, func() { _, _ = parseMultipart(benchMP20File, benchBoundary, &lim) })
	check("urlencoded", 2, func() { _, _, _ = parseURLEncoded(benchUE3, &lim) })
	check("urlencoded, 40 pairs", 2, func() { _, _, _ = parseURLEncoded(benchUE40, &lim) })
	check("urlencoded without escapes", 1, func() { _, _, _ = parseURLEncoded("a=1&b=2", &lim) })
	check("pixel query", 2, func() { _, _, _ = parseURLEncoded(benchPixel, &lim) })
	check("JSON", 0, func() { wire.CheckJSON(benchJ300, lim.MaxDepth) })
	check("media type", 0, func() { wire.ParseMediaType("multipart/form-data; boundary=" + benchBoundary) })

	tokens := tokens{keys: pagetoken.New([][]byte{[]byte("a key of 16 bytes"), []byte("another of 16 bytes")})}
	token := tokens.keys.Make(time.Now())
	envelope, verified := []byte(`{"v":1,"m":"append","tok":"`+token+`","k":"k","ev":[{"n":1}]}`), Event{}
	check("token", 0, func() { _ = tokens.verify(&verified, "v1.forged.x", envelope) })
	if !verified.Verified {
		t.Error("the token that was measured is not valid")
	}

	form := benchEvent(t, "multipart/form-data; boundary="+benchBoundary, benchMP3)
	report := Event{Body: Report{Type: "crash", URL: "https://example.com/", Age: time.Second, Body: benchJ4K}}
	hard := form
	hard.Name, hard.Request.UserAgent = strings.Repeat("<\u2028\x00", 50), strings.Repeat("caf\xe9", 50)
	hard.Body = JSON(bytes.ReplaceAll(benchJ300, []byte("LCP"), []byte(" <é\u2028& ")))
	hard.Request.ClientIP = netip.MustParseAddr("2001:db8::1")
	hard.Attrs = map[string]string{"one": "1", "two": "2", "three": "3"}
	hard.Errors = []FieldError{{Key: "k", Reason: "r"}}
	ping, files := form, form
	ping.Body, ping.Attrs = Ping{From: "https://example.com/"}, map[string]string{"user": "7"}
	files.Body, files.Query = Binary{Data: benchMP64K}, Form{{Name: "f", File: &File{Data: benchMP3}}}
	buf := make([]byte, 0, 256<<10)
	for name, e := range map[string]*Event{"form": &form, "report": &report, "hard": &hard, "ping": &ping, "files": &files} {
		check("AppendJSON of "+name, 0, func() { _, _ = e.AppendJSON(buf) })
	}

	h, err := New(Config{Sink: SinkFunc(func(context.Context, []Event) error { return nil })})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/b", nil)
	r.Header.Set("Content-Type", "multipart/form-data; boundary="+benchBoundary)
	r.ContentLength = int64(len(benchMP3))
	body := bytes.NewReader(nil)
	r.Body = io.NopCloser(body)
	w := discardWriter{http.Header{}}
	// Body, fields, the Form in its interface, events, ID, and the context.
	check("handler", 6, func() {
		body.Reset(benchMP3)
		clear(w.header)
		h.ServeHTTP(w, r)
	})
	if s := h.Stats(); s.Delivered != s.Received {
		t.Errorf("the measured requests were not taken: %+v", s)
	}

	// The error and its place in the refusal, the values of the answer's headers (2), its text, and
	// that as bytes for a writer without WriteString.
	r.Header["Origin"], r.Header["Sec-Fetch-Site"] = []string{"https://evil.example"}, []string{"cross-site"}
	refused := h.Stats().Received
	check("refused", 6, func() {
		body.Reset(benchMP3)
		clear(w.header)
		h.ServeHTTP(w, r)
	})
	if s := h.Stats(); s.Refused[ReasonOrigin] != s.Received-refused {
		t.Errorf("the measured requests were not refused: %+v", s)
	}
}

type discardWriter struct{ header http.Header }

func (w discardWriter) Header() http.Header       { return w.header }
func (discardWriter) Write(p []byte) (int, error) { return len(p), nil }
func (discardWriter) WriteHeader(int)             {}

func (discardWriter) SetReadDeadline(time.Time) error { return nil }
