package limit_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/limit"
)

// requests are what a limiter meets.
func requests() map[string]*http.Request {
	proxied := from("10.0.0.1", 1)
	proxied.Header.Set("X-Forwarded-For", "192.0.2.1, 203.0.113.7")
	return map[string]*http.Request{"IPv4": from("203.0.113.7", 1), "IPv6": from("2001:db8::1", 1), "proxy": proxied, "nobody": from("127.0.0.1", 1)}
}

var proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}

func TestAllocations(t *testing.T) {
	free := newLimiter(t, limit.Options{Events: plenty, Bytes: plenty}).Guard(beacon.Config{TrustedProxies: proxies})
	full := newLimiter(t, limit.Options{EventBurst: 1}).Guard(beacon.Config{TrustedProxies: proxies})
	for name, r := range requests() {
		e := &beacon.Event{Body: beacon.Empty{}}
		if n := testing.AllocsPerRun(100, func() {
			if free.Admit(r) != nil || free.Enrich(r, e) != nil {
				t.Error("refused")
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations where it passes", name, n)
		}
		if n := testing.AllocsPerRun(100, func() { _ = full.Admit(r) }); n > 1 {
			t.Errorf("%s: %v allocations where it is refused", name, n)
		}
	}
}

func BenchmarkAdmit(b *testing.B) {
	for name, r := range requests() {
		for outcome, o := range map[string]limit.Options{"passes": {Events: plenty, Bytes: plenty}, "refused": {EventBurst: 1}} {
			config := newLimiter(b, o).Guard(beacon.Config{TrustedProxies: proxies})
			b.Run(name+"/"+outcome, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					_ = config.Admit(r)
				}
			})
		}
	}
}

// BenchmarkManyNetworks has an account to find that is in no cache of the processor's.
func BenchmarkManyNetworks(b *testing.B) {
	config := newLimiter(b, limit.Options{}).Guard(beacon.Config{})
	rs := make([]*http.Request, 1<<16)
	for i := range rs {
		rs[i] = &http.Request{RemoteAddr: fmt.Sprintf("203.%d.%d.7:1234", i>>8, i&255), Header: http.Header{}}
	}
	i := 0
	for b.Loop() {
		_ = config.Admit(rs[i*7919%len(rs)])
		i++
	}
}

func BenchmarkParallel(b *testing.B) {
	config := newLimiter(b, limit.Options{}).Guard(beacon.Config{})
	b.RunParallel(func(pb *testing.PB) {
		r := from("203.0.113.7", 1)
		for pb.Next() {
			_ = config.Admit(r)
		}
	})
}

// BenchmarkHandler is what a request costs the handler, apart from net/http, if it is
// taken and if it is refused.
func BenchmarkHandler(b *testing.B) {
	for outcome, o := range map[string]limit.Options{"taken": {Events: plenty, Bytes: plenty}, "refused": {EventBurst: 1}} {
		h, err := beacon.New(newLimiter(b, o).Guard(beacon.Config{
			Sink: beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil }),
		}))
		if err != nil {
			b.Fatal(err)
		}
		for name, body := range map[string]beacon.Body{
			"small": beacon.Text("hello"),
			"20 KB": beacon.Form{{Name: "msg", Value: strings.Repeat("x", 20<<10)}},
			"batch": nil,
		} {
			r := beacontest.NewRequest("/b", beacon.Text(strings.Repeat("{\"a\":1}\n", 100)))
			r.Header.Set("Content-Type", "application/x-ndjson")
			if body != nil {
				r = beacontest.NewRequest("/b", body)
			}
			r.RemoteAddr = "203.0.113.7:1234"
			data, err := io.ReadAll(r.Body)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(outcome+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					r.Body = io.NopCloser(strings.NewReader(string(data)))
					h.ServeHTTP(httptest.NewRecorder(), r)
				}
			})
		}
	}
}
