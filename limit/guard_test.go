package limit_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/limit"
)

// TestUnkeyed: who is everybody's peer is never limited, and that is said once.
func TestUnkeyed(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}
	for _, tt := range []struct {
		name, peer, forwarded string
		limited, told         bool
	}{
		{"a visitor on this machine", "127.0.0.1:1", "", false, false},
		{"a proxy on this machine", "127.0.0.1:1", "203.0.113.7", false, true},
		{"private", "192.168.1.1:1", "203.0.113.7", false, true},
		{"a trusted proxy that says nothing", "10.0.0.1:1", "", false, true},
		{"what a middleware made of a header", "x\x1b[2J\u202e\u009b\"\nlevel=ERROR" + strings.Repeat("y", 1000), "203.0.113.7", false, true},
		{"a trusted proxy", "10.0.0.1:1", "203.0.113.7", true, false},
		{"a Unix socket", "@", "203.0.113.7", true, false},
		{"public", "203.0.113.7:1", "", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				l := newLimiter(t, limit.Options{EventBurst: 1})
				config := l.Guard(beacon.Config{TrustedProxies: proxies, Logger: slog.New(slog.NewJSONHandler(&out, nil))})
				limited := 0
				for range 10 {
					r := from("203.0.113.7", 1)
					r.RemoteAddr = tt.peer
					if tt.forwarded != "" {
						r.Header.Set("X-Forwarded-For", tt.forwarded)
					}
					if config.Admit(r) != nil {
						limited++
					}
					if err := config.Enrich(r, &beacon.Event{}); err != nil {
						t.Fatal(err)
					}
				}
				if got := limited > 0; got != tt.limited {
					t.Errorf("%d of 10 were limited", limited)
				}
				log := out.String()
				if got := strings.Count(log, "\n"); got > 0 != tt.told || got > 1 {
					t.Errorf("log:\n%s", log)
				}
				if strings.ContainsAny(log, "\x1b\u009b\u202e") || len(log) > 1000 {
					t.Errorf("the log has the client's text as it came:\n%q", log)
				}
				if s := l.Stats(); s.Unkeyed > 0 == tt.limited || s.Unkeyed+s.Admitted+s.LimitedEvents != 10 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// TestDryRun counts what would be limited, and limits nothing.
func TestDryRun(t *testing.T) {
	for _, tt := range []struct {
		name         string
		events, rate int // of each beacon; beacons a second
	}{
		{"single events", 1, 100},
		{"batches", 100, 10},
		{"within the limit", 1, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run := func(t *testing.T, dry bool) (taken int, s limit.Stats) {
				synctest.Test(t, func(t *testing.T) {
					l := newLimiter(t, limit.Options{Events: 10, EventBurst: 50, Bytes: plenty, DryRun: dry})
					h := newHandler(t, l, beacon.Config{})
					for range 100 * tt.rate {
						if status(h, from("203.0.113.7", tt.events)) == http.StatusNoContent {
							taken++
						}
						time.Sleep(time.Second / time.Duration(tt.rate))
					}
					s = l.Stats()
					time.Sleep(15 * time.Second) // a burst, and a debt of no more than that
					status(h, from("203.0.113.7", 1))
					if dry && l.Stats().Admitted != s.Admitted+1 {
						t.Error("it would still be limited long after")
					}
				})
				return taken, s
			}
			_, real := run(t, false)
			taken, dry := run(t, true)
			if taken != 100*tt.rate {
				t.Errorf("%d of %d were taken", taken, 100*tt.rate)
			}
			// It charges for what would have been refused, too: more is limited, but
			// nothing where nothing would be.
			if most := real.LimitedEvents + real.Admitted; dry.LimitedEvents < real.LimitedEvents || dry.LimitedEvents > most ||
				(dry.LimitedEvents == 0) != (real.LimitedEvents == 0) || dry.Admitted+dry.LimitedEvents != most {
				t.Errorf("a dry run: %+v, in earnest: %+v", dry, real)
			}
		})
	}
}

// TestTop: an operator can tell an office from a flood.
func TestTop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, limit.Options{Events: 10, EventBurst: 10, Bytes: plenty})
		config := l.Guard(beacon.Config{})
		send := func(addr string, beacons, agents int) {
			for i := range beacons {
				r := from(addr, 1)
				r.Header.Set("User-Agent", fmt.Sprint("browser ", i%agents))
				_ = config.Admit(r)
			}
		}
		send("203.0.113.1", 5, 5)       // not limited
		send("203.0.113.2", 2010, 1000) // more agents than can be told
		send("2001:db8::1", 1010, 1)
		send("203.0.113.3", 20, 20)
		top := l.Top(2)
		want := []limit.Network{
			{Prefix: netip.MustParsePrefix("203.0.113.2/32"), Limited: 2000, Agents: 266, Wait: 1},
			{Prefix: netip.MustParsePrefix("2001:db8::/64"), Limited: 1000, Agents: 1, Wait: 1},
		}
		if diff := cmp.Diff(want, top, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Error(diff)
		}
		if got := l.Top(100); len(got) != 3 {
			t.Errorf("all: %+v", got)
		}
		if got := l.Top(0); len(got) != 0 {
			t.Errorf("none: %+v", got)
		}
		time.Sleep(time.Second)
		if got := l.Top(1); got[0].Wait != 0 {
			t.Errorf("later: %+v", got)
		}
	})
}

// TestGuard: the hooks of the host are still there, and none of it can be lost.
func TestGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, limit.Options{EventBurst: 4})
		var admitted, enriched, refused int
		own := errors.New("the host's own")
		h := newHandler(t, l, beacon.Config{
			Admit: func(r *http.Request) error {
				if admitted++; admitted == 2 {
					return own
				}
				return nil
			},
			Enrich:    func(*http.Request, *beacon.Event) error { enriched++; return nil },
			OnRefused: func(_ *http.Request, body []byte, why *beacon.RequestError) { refused += len(body) },
		})
		got := []int{}
		for range 4 {
			got = append(got, status(h, from("203.0.113.7", 1)))
		}
		if diff := cmp.Diff([]int{204, 503, 204, 429}, got); diff != "" {
			t.Error(diff)
		}
		if admitted != 3 || enriched != 2 {
			t.Errorf("%d admitted, %d enriched", admitted, enriched)
		}
		if refused != len("0\n") {
			t.Errorf("%d bytes of refused bodies: what is limited is not read, and all else is", refused)
		}
		if s := h.Stats(); s.Refused[beacon.ReasonLimited] != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestMistakes(t *testing.T) {
	for _, tt := range []struct {
		options limit.Options
		want    []string
	}{
		{limit.Options{}, nil},
		{limit.Options{Events: plenty, Bytes: plenty, EventBurst: plenty, ByteBurst: plenty, Networks: 1}, nil},
		{limit.Options{Events: -1, Bytes: -1, Networks: -1}, []string{"Events", "Bytes", "Networks"}},
		{limit.Options{EventBurst: -1, ByteBurst: -1}, []string{"EventBurst", "ByteBurst"}},
		{limit.Options{Events: 1, EventBurst: plenty}, []string{"EventBurst"}},
		{limit.Options{Bytes: 1, ByteBurst: 1 << 20}, []string{"ByteBurst"}},
		{limit.Options{Networks: 1 << 30}, []string{"Networks"}},
	} {
		_, err := limit.New(tt.options)
		if (err != nil) != (tt.want != nil) {
			t.Errorf("%+v: %v", tt.options, err)
		}
		for _, name := range tt.want {
			if !strings.Contains(fmt.Sprint(err), name+" is ") {
				t.Errorf("%+v: %v says nothing of %s", tt.options, err, name)
			}
		}
	}
}
