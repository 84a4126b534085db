package beacon_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

func compressed(s string) string {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, _ = zw.Write([]byte(s))
	_ = zw.Close()
	return b.String()
}

// from returns a request of a client with this address.
func from(addr, contentType, body string) *http.Request {
	r := httptest.NewRequest("POST", "/b", strings.NewReader(body))
	r.RemoteAddr = addr
	r.Header.Set("Content-Type", contentType)
	if strings.HasPrefix(body, "\x1f") {
		r.Header.Set("Content-Encoding", "gzip")
	}
	return r
}

// TestEventsAreInFlight: 2,000 requests of 150 bytes that become a megabyte each hold no
// more than MaxInFlight while the sink is slow; those of others are taken all the while.
func TestEventsAreInFlight(t *testing.T) {
	const budget = 64 << 20
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		var inSink atomic.Int64
		h := newHandler(t, beacon.Config{
			MaxInFlight: budget,
			Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
				if len(events) == 1 {
					return nil
				}
				for i := range events {
					inSink.Add(int64(events[i].Size()))
				}
				<-hold
				return nil
			}),
		})
		attack := compressed(strings.Repeat("0\n", 1000))
		codes := make([]int, 2000)
		var all sync.WaitGroup
		for i := range codes {
			all.Go(func() {
				r := from(fmt.Sprintf("203.0.%d.%d:1", i/250, i%250), "application/x-ndjson", attack)
				codes[i] = serve(h, r).StatusCode
			})
		}
		synctest.Wait()
		for i := range 100 {
			if res := serve(h, from(fmt.Sprintf("198.51.100.%d:1", i), "text/plain", strings.Repeat("x", 1000))); res.StatusCode != 204 {
				t.Errorf("a small one of somebody else: %d", res.StatusCode)
			}
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		if n := inSink.Load(); n > budget || n < budget/2 {
			t.Errorf("%d bytes of events are in flight", n)
		}
		if n := h.Stats().InFlight; n > budget || n < inSink.Load() {
			t.Errorf("%d bytes are said to be in flight, and there are %d", n, inSink.Load())
		}
		if m.HeapAlloc > 2*budget {
			t.Errorf("%d bytes are alive", m.HeapAlloc)
		}
		time.Sleep(2 * time.Second) // those who wait give up
		close(hold)
		all.Wait()
		count := map[int]int{}
		for _, code := range codes {
			count[code]++
		}
		if n := h.Stats().InFlight; n != 0 {
			t.Errorf("%d bytes are left", n)
		}
		if count[204] < 30 || count[429] != 2000-count[204] {
			t.Errorf("%v", count)
		}
	})
}

// TestTooHeavy: a request whose events would take more than one may have is refused
// before they are made.
func TestTooHeavy(t *testing.T) {
	h := newHandler(t, beacon.Config{Sink: nowhere})
	post := func(query string, events int) (*http.Response, uint64) {
		r := httptest.NewRequest("POST", "/b?"+query, strings.NewReader(strings.Repeat("0\n", events)))
		r.Header.Set("Content-Type", "application/x-ndjson")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		res := serve(h, r)
		runtime.ReadMemStats(&after)
		return res, after.TotalAlloc - before.TotalAlloc
	}
	res, took := post("q="+strings.Repeat("a", 64<<10-2), 1000)
	if res.StatusCode != 413 || res.Header.Get("Beacon-Refused") != beacon.ReasonTooHeavy {
		t.Errorf("a long query a thousand times: %d %v", res.StatusCode, res.Header)
	}
	if took > 1<<20 {
		t.Errorf("to refuse it took %d bytes", took)
	}
	for query, events := range map[string]int{"q=" + strings.Repeat("a", 64<<10-2): 100, "q=" + strings.Repeat("a", 2000): 1000, "": 1000} {
		if res, _ := post(query, events); res.StatusCode != 204 {
			t.Errorf("%d bytes, %d times: %d", len(query), events, res.StatusCode)
		}
	}
	// Whatever is within the limits of a body is taken.
	h = newHandler(t, beacon.Config{Sink: nowhere, Limits: beacon.Limits{MaxRatio: 2000}})
	line := `"` + strings.Repeat("x", 4<<10-10) + "\"\n"
	res = serve(h, from("203.0.113.7:1", "application/x-ndjson", compressed(strings.Repeat(line, 1000))))
	if res.StatusCode != 204 {
		t.Errorf("a batch of 4 MB: %d %v", res.StatusCode, res.Header)
	}
}

// TestOneNetwork cannot use up the budget, or all requests in progress.
func TestOneNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		h := newHandler(t, beacon.Config{
			MaxRequests: 80, MaxInFlight: 64 << 20,
			Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
				if len(events[0].Body.(beacon.Text)) != 1 {
					<-hold
				}
				return nil
			}),
		})
		var all sync.WaitGroup
		var refused atomic.Int64
		for range 60 { // small ones: they are too many, and not too large
			all.Go(func() {
				if res := serve(h, from("[2001:db8::1]:1", "text/plain", "hold")); res.StatusCode == 429 {
					refused.Add(1)
				}
			})
		}
		for range 20 {
			all.Go(func() {
				if res := serve(h, from("203.0.113.7:1", "text/plain", strings.Repeat("x", 1<<20))); res.StatusCode == 429 {
					refused.Add(1)
				}
			})
		}
		synctest.Wait()
		for i := range 20 {
			if res := serve(h, from(fmt.Sprintf("198.51.100.%d:1", i), "text/plain", "x")); res.StatusCode != 204 {
				t.Errorf("somebody else: %d", res.StatusCode)
			}
		}
		if res := serve(h, from("[2001:db8:0:1::2]:1", "text/plain", "x")); res.StatusCode != 429 || res.Header.Get("Retry-After") == "" {
			t.Errorf("the next /64 of the same customer: %d", res.StatusCode)
		}
		if res := serve(h, from("[2001:db8:1::2]:1", "text/plain", "x")); res.StatusCode != 204 {
			t.Errorf("the next /48: %d", res.StatusCode)
		}
		close(hold)
		all.Wait()
		if n := refused.Load(); n != 60+20-2*10-10 { // ten of each are in progress, and ten wait
			t.Errorf("%d of those two networks were refused", n)
		}
	})
}

// TestMaxRequests bounds those in progress, and comes back.
func TestMaxRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		h := newHandler(t, beacon.Config{MaxRequests: 3, Sink: beacon.SinkFunc(func(context.Context, []beacon.Event) error { <-hold; return nil })})
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if res := serve(h, from("127.0.0.1:1", "text/plain", "x")); res.StatusCode != 204 {
					t.Errorf("one of three: %d", res.StatusCode)
				}
			})
		}
		synctest.Wait()
		if res := serve(h, from("127.0.0.1:1", "text/plain", "x")); res.StatusCode != 429 || res.Header.Get("Beacon-Refused") != beacon.ReasonTooBusy {
			t.Errorf("the fourth: %d", res.StatusCode)
		}
		close(hold)
		all.Wait()
		if res := serve(h, from("127.0.0.1:1", "text/plain", "x")); res.StatusCode != 204 {
			t.Errorf("afterwards: %d", res.StatusCode)
		}
	})
}

// TestMaxRequestsRefused: the bodies that are read for OnRefused alone are of requests in
// progress, too.
func TestMaxRequestsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		bodies := map[string]int{}
		h := newHandler(t, beacon.Config{
			MaxRequests: 3, Sink: beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil }),
			OnRefused: func(_ *http.Request, body []byte, why *beacon.RequestError) {
				mu.Lock()
				defer mu.Unlock()
				bodies[why.Reason+string(body)]++
			},
		})
		refused := func(body io.Reader) {
			r := from("127.0.0.1:1", "text/plain", "")
			r.Body = io.NopCloser(body)
			r.Header.Set("Origin", "https://evil.example")
			serve(h, r)
		}
		var all sync.WaitGroup
		slow, w := io.Pipe()
		for range 3 {
			all.Go(func() { refused(slow) })
		}
		synctest.Wait()
		refused(strings.NewReader("x"))
		_ = w.Close()
		all.Wait()
		refused(strings.NewReader("x"))
		if diff := cmp.Diff(map[string]int{"origin": 4, "originx": 1}, bodies); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// TestHeadersAreInFlight: what net/http has read of a request counts, if it is much, and
// from before its body comes.
func TestHeadersAreInFlight(t *testing.T) {
	for _, c := range []struct {
		name string
		junk func(http.Header)
	}{
		{"a long one", func(h http.Header) { h.Set("X-Junk", strings.Repeat("x", 1<<20)) }},
		{"names", func(h http.Header) {
			for i := range 12_000 {
				h[strconv.Itoa(i)] = []string{""}
			}
		}},
		{"values", func(h http.Header) { h["A"] = make([]string, 44_000) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHandler(t, beacon.Config{Sink: beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })})
				header := http.Header{}
				c.junk(header)
				var all sync.WaitGroup
				var taken, busy atomic.Int64
				for range 100 {
					all.Go(func() {
						r := from("127.0.0.1:1", "text/plain", "")
						body, w := io.Pipe()
						time.AfterFunc(3*time.Second, func() { _ = w.Close() })
						r.Body, r.Header = body, header
						switch serve(h, r).StatusCode {
						case 204:
							taken.Add(1)
						case 429:
							busy.Add(1)
						}
					})
				}
				all.Wait()
				if n := taken.Load(); n < 50 || n > 60 || n+busy.Load() != 100 { // 64 MiB, of which a sixteenth is for small ones
					t.Errorf("%d of 100 taken, and %d are refused", n, busy.Load())
				}
			})
		})
	}
}

// TestNoShareIsSaid: once, where a proxy that nobody named makes all clients one.
func TestNoShareIsSaid(t *testing.T) {
	for _, c := range []struct {
		peer, forwarded string
		said            int
	}{
		{"10.0.0.1:1", "", 1}, {"127.0.0.1:1", "203.0.113.7", 1}, {"@", "", 1},
		{"127.0.0.1:1", "", 0}, // a developer's own browser
		{"203.0.113.7:1", "", 0},
	} {
		var log bytes.Buffer
		h := newHandler(t, beacon.Config{Sink: nowhere, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		for range 3 {
			r := from(c.peer, "text/plain", "x")
			if c.forwarded != "" {
				r.Header.Set("X-Forwarded-For", c.forwarded)
			}
			if res := serve(h, r); res.StatusCode != 204 {
				t.Errorf("%s: %d", c.peer, res.StatusCode)
			}
		}
		if n := strings.Count(log.String(), "TrustedProxies"); n != c.said {
			t.Errorf("%s for %q: said %d times\n%s", c.peer, c.forwarded, n, &log)
		}
	}
}

// TestNothingSentNothingHeld: thousands of requests that send no body hold nothing.
func TestNothingSentNothingHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rec beacontest.Recorder
		h := newHandler(t, beacon.Config{Sink: &rec})
		var all sync.WaitGroup
		for range 9000 {
			all.Go(func() {
				pr, pw := io.Pipe()
				time.AfterFunc(3*time.Second, func() { _ = pw.Close() })
				r := httptest.NewRequest("POST", "/b", pr)
				r.ContentLength, r.RemoteAddr = 1<<20, "127.0.0.1:1"
				serve(h, r)
			})
		}
		synctest.Wait()
		for _, n := range []int{10, 1000, 100_000, 1 << 20} {
			if res := serve(h, from("127.0.0.1:1", "text/plain", strings.Repeat("x", n))); res.StatusCode != 204 {
				t.Errorf("%d bytes of somebody else: %d", n, res.StatusCode)
			}
		}
		all.Wait()
	})
}
