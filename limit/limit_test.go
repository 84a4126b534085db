package limit_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/limit"
)

func newLimiter(t testing.TB, o limit.Options) *limit.Limiter {
	t.Helper()
	l, err := limit.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// newHandler returns a handler behind l whose sink takes everything.
func newHandler(t testing.TB, l *limit.Limiter, c beacon.Config) *beacon.Handler {
	t.Helper()
	if c.Sink == nil {
		c.Sink = beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })
	}
	h, err := beacon.New(l.Guard(c))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// from returns a beacon of so many events that comes from an address.
func from(addr string, events int) *http.Request {
	r := beacontest.NewRequest("/b", beacon.Text(strings.Repeat("0\n", events)))
	if events > 1 {
		r.Header.Set("Content-Type", "application/x-ndjson")
	}
	r.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(addr), 1234).String()
	return r
}

func status(h http.Handler, r *http.Request) int {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// plenty is a limit that nobody reaches.
const plenty = math.MaxInt

// TestLimit: a network has its burst, then its rate, and nobody else is concerned.
func TestLimit(t *testing.T) {
	const events, burst = 10, 40 // a beacon of one event costs two
	for _, tt := range []struct {
		name  string
		addrs []string // which send in turns
		want  int      // how many of their beacons pass at once
		other string   // who is not concerned
	}{
		{"one address", []string{"203.0.113.7"}, burst / 2, "203.0.113.8"},
		{"two addresses", []string{"203.0.113.7", "203.0.113.8"}, burst, "203.0.113.9"},
		{"a /64", []string{"2001:db8::1", "2001:db8::2", "2001:db8::ffff:1"}, burst / 2, "2001:db8:0:1::1"},
		{"two /64 of a /48", []string{"2001:db8::1", "2001:db8:0:1::1"}, burst, "2001:db8:0:2::1"},
		{"all of a /48", subnets(100), 16 * burst / 2, "2001:db8:1::1"},
		{"6to4 and the IPv4 address", []string{"2002:cb00:7107::1", "2002:cb00:7107:1::1", "203.0.113.7"}, burst / 2, "2002:cb00:7108::1"},
		{"IPv4-mapped", []string{"::ffff:203.0.113.7", "203.0.113.7"}, burst / 2, "203.0.113.8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(t, limit.Options{Events: events, EventBurst: burst, Bytes: plenty})
				h := newHandler(t, l, beacon.Config{})
				send := func(beacons int) (passed int) {
					for i := range beacons {
						if status(h, from(tt.addrs[i%len(tt.addrs)], 1)) == http.StatusNoContent {
							passed++
						}
					}
					return passed
				}
				if got := send(1000); got != tt.want {
					t.Errorf("at once: %d passed, want %d", got, tt.want)
				}
				if got := status(h, from(tt.other, 1)); got != http.StatusNoContent {
					t.Errorf("%s: %d", tt.other, got)
				}
				time.Sleep(time.Second)
				if got, want := send(1000), tt.want*events/burst; got != want {
					t.Errorf("a second later: %d passed, want %d", got, want)
				}
				time.Sleep(time.Hour)
				if got := send(1000); got != tt.want {
					t.Errorf("an hour later: %d passed, want %d", got, tt.want)
				}
			})
		})
	}
}

// TestDefaults: fifty beacons a second, and those of a minute at once.
func TestDefaults(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options limit.Options
		want    int
	}{
		{"none", limit.Options{}, 3000},
		{"a burst of its own", limit.Options{EventBurst: 10}, 5},
		{"a rate of its own", limit.Options{Events: 2}, 60},
		{"no limit", limit.Options{Events: plenty, EventBurst: 1, Bytes: plenty}, 5000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := newLimiter(t, tt.options).Guard(beacon.Config{})
				r, passed := from("203.0.113.7", 1), 0
				for range 5000 {
					if config.Admit(r) == nil && config.Enrich(r, &beacon.Event{}) == nil {
						passed++
					}
				}
				if passed != tt.want {
					t.Errorf("%d passed, want %d", passed, tt.want)
				}
			})
		})
	}
}

// subnets returns an address in each of n /64 of a /48.
func subnets(n int) []string {
	addrs := make([]string, n)
	for i := range addrs {
		addrs[i] = fmt.Sprintf("2001:db8:0:%x::1", i)
	}
	return addrs
}

// TestDebt: what a request turns out to carry is paid for afterwards.
func TestDebt(t *testing.T) {
	const addr = "203.0.113.7"
	for _, tt := range []struct {
		name    string
		options limit.Options
		request func() *http.Request
		want    time.Duration // before the network may send again
	}{
		{
			name:    "many events",
			options: limit.Options{Events: 10, EventBurst: 20, Bytes: plenty},
			request: func() *http.Request { return from(addr, 1000) },
			want:    (1 + 1000 - 20) * time.Second / 10,
		},
		{
			name:    "a large body",
			options: limit.Options{Events: plenty, Bytes: 1000, ByteBurst: 1000},
			request: func() *http.Request {
				r := beacontest.NewRequest("/b", beacon.Text(strings.Repeat("x", 100_000)))
				r.RemoteAddr = addr + ":1"
				return r
			},
			want: 200 * time.Second, // as it is sent and in memory
		},
		{
			name:    "a length that is only said",
			options: limit.Options{Events: plenty, Bytes: 1000, ByteBurst: 1000},
			request: func() *http.Request {
				r := from(addr, 1)
				r.ContentLength = math.MaxInt64
				return r
			},
			want: 1 << 20 / 1000 * time.Second, // it is refused for that alone
		},
		{
			name:    "no length",
			options: limit.Options{Events: plenty, Bytes: 1000, ByteBurst: 1000},
			request: func() *http.Request {
				r := from(addr, 1)
				r.ContentLength = -1
				return r
			},
			want: (16<<10 - 1000) * time.Second / 1000,
		},
		{
			name:    "more than anybody should wait for",
			options: limit.Options{Events: plenty, Bytes: 1, ByteBurst: 1},
			request: func() *http.Request { return from(addr, 1000) },
			want:    time.Hour,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHandler(t, newLimiter(t, tt.options), beacon.Config{})
				status(h, tt.request())
				w := httptest.NewRecorder()
				h.ServeHTTP(w, from(addr, 1))
				after, err := time.ParseDuration(w.Header().Get("Retry-After") + "s")
				if w.Code != http.StatusTooManyRequests || w.Header().Get("Beacon-Refused") != beacon.ReasonLimited || err != nil {
					t.Fatalf("%d %v", w.Code, w.Header())
				}
				if after < tt.want || after > tt.want+4*time.Second { // and the weight of an event
					t.Errorf("Retry-After is %v, want %v", after, tt.want)
				}
				time.Sleep(after - time.Second)
				if got := status(h, from(addr, 1)); got != http.StatusTooManyRequests {
					t.Errorf("a second before: %d", got)
				}
				time.Sleep(time.Second)
				if got := status(h, from(addr, 1)); got != http.StatusNoContent {
					t.Errorf("then: %d", got)
				}
			})
		})
	}
}

// TestNever: whatever a network does, it gets no more than its burst, what comes in the
// time, and one request beyond, whose size nobody knew.
func TestNever(t *testing.T) {
	const (
		events, burst = 50, 300
		most          = 100 // events of a request
	)
	addrs := append(subnets(20), "203.0.113.7", "203.0.113.8")
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(t, newLimiter(t, limit.Options{Events: events, EventBurst: burst, Bytes: plenty}), beacon.Config{})
		random := rand.New(rand.NewPCG(1, 2))
		start := time.Now()
		spent := map[string]int{}
		all := 0 // of the /48
		for range 2_000 {
			addr := addrs[random.IntN(len(addrs))]
			n := 1
			if random.IntN(10) == 0 {
				n += random.IntN(most)
			}
			if status(h, from(addr, n)) == http.StatusNoContent {
				if spent[addr] += 1 + n; strings.HasPrefix(addr, "2001:db8") {
					all += 1 + n
				}
			}
			came := int(time.Since(start).Seconds()*events) + 1
			if bound := burst + came + 1 + most; spent[addr] > bound {
				t.Fatalf("%s: %d after %v, want at most %d", addr, spent[addr], time.Since(start), bound)
			}
			if bound := 16*(burst+came) + 1 + most; all > bound {
				t.Fatalf("the /48: %d after %v, want at most %d", all, time.Since(start), bound)
			}
			time.Sleep(time.Duration(random.IntN(int(2 * time.Millisecond))))
		}
		for addr, n := range spent { // and no less: they always wanted more
			if came := int(time.Since(start).Seconds() * events); strings.HasPrefix(addr, "203") && n < burst+came-most {
				t.Errorf("%s: %d, want %d", addr, n, burst+came)
			}
		}
	})
}

// TestConcurrent: at one moment no more passes than the burst, however many try.
func TestConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const burst = 100
		l := newLimiter(t, limit.Options{Events: 1, EventBurst: burst, Bytes: plenty})
		config := l.Guard(beacon.Config{})
		addrs := append(subnets(100), "203.0.113.7")
		var v4, v6 atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for i := range 2_000 {
					addr := addrs[i%len(addrs)]
					if i%2 == 0 {
						addr = "203.0.113.7"
					}
					if config.Admit(from(addr, 1)) != nil {
						continue
					} else if strings.HasPrefix(addr, "203") {
						v4.Add(1)
					} else {
						v6.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if got := v4.Load(); got != burst {
			t.Errorf("%d of one address passed, want %d", got, burst)
		}
		if got := v6.Load(); got != 16*burst {
			t.Errorf("%d of one /48 passed, want %d", got, 16*burst)
		}
		s := l.Stats()
		if want := uint64(v4.Load() + v6.Load()); s.Admitted != want || s.Admitted+s.LimitedEvents != 8*2_000 {
			t.Errorf("%+v, want %d admitted", s, want)
		}
	})
}
