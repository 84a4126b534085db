package sessions_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/sessions"
)

var secret = []byte("sixteen bytes of")

func daily(t *testing.T, o sessions.DailyOptions) *sessions.Daily {
	t.Helper()
	d, err := sessions.NewDaily(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// seen is an event of a visitor, who is known by the last number of an address.
func heardOf(visitor int, at time.Time) beacon.Event {
	return beacon.Event{Received: at, Time: at, Body: beacon.Empty{}, Request: beacon.Request{
		Host: "example.com", UserAgent: "Mozilla/5.0", ClientIP: netip.AddrFrom4([4]byte{203, 0, byte(visitor >> 8), byte(visitor)}),
	}}
}

func TestDailyOptions(t *testing.T) {
	for _, o := range []sessions.DailyOptions{{Secret: []byte("short")}, {Secret: []byte{}}, {MaxVisitors: -1}, {Rules: sessions.Rules{Gap: -1}}} {
		if _, err := sessions.NewDaily(o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

// TestDailyKeys: who is one visitor, and who is another.
func TestDailyKeys(t *testing.T) {
	now := time.Now()
	one := heardOf(1, now)
	addr := func(s string) beacon.Event {
		e := one
		e.Request.ClientIP = netip.MustParseAddr(s)
		return e
	}
	host, agent, moved, named := one, one, one, one
	host.Request.Host, agent.Request.UserAgent, named.Session = "example.org", "curl", "ada"
	moved.Request.Host, moved.Request.UserAgent = one.Request.Host[:7], one.Request.Host[7:]+one.Request.UserAgent
	upper := one
	upper.Request.Host = "EXAMPLE.com"
	d := daily(t, sessions.DailyOptions{})
	key := d.Key(one)
	if len(key) != 22 || d.Key(one) != key || d.Key(upper) != key {
		t.Errorf("%q, and then %q, %q", key, d.Key(one), d.Key(upper))
	}
	if d.Key(named) != "ada" {
		t.Error("the session that it had is gone")
	}
	six := d.Key(addr("2001:db8::1"))
	if d.Key(addr("2001:db8::ffff:1")) != six {
		t.Error("another address of one network is another visitor")
	}
	all := map[string]string{"one": key, "six": six, "address": d.Key(heardOf(2, now)), "host": d.Key(host), "agent": d.Key(agent), "boundary": d.Key(moved),
		"network": d.Key(addr("2001:db8:0:1::1")), "tomorrow": d.Key(heardOf(1, now.Add(24*time.Hour))), "another server": daily(t, sessions.DailyOptions{}).Key(one),
		"a secret": daily(t, sessions.DailyOptions{Secret: secret}).Key(one), "another secret": daily(t, sessions.DailyOptions{Secret: append(secret, 'x')}).Key(one)}
	distinct := map[string]string{}
	for name, k := range all {
		if other, ok := distinct[k]; ok {
			t.Errorf("%s and %s are one visitor", name, other)
		}
		distinct[k] = name
	}
	if k := daily(t, sessions.DailyOptions{Secret: secret}).Key(one); k != all["a secret"] {
		t.Error("two servers with one secret do not agree")
	}
}

// clock is the time of day, in a bubble that begins with the year 2000.
func clock(hour, minute int) time.Time {
	return time.Date(2000, 1, 1, hour, minute, 0, 0, time.UTC)
}

// come waits until a visitor comes, and returns the key.
func come(d *sessions.Daily, visitor int, at time.Time) string {
	time.Sleep(time.Until(at))
	return d.Key(heardOf(visitor, at))
}

// TestDailyMidnight: a visit that goes on keeps its key, and no other.
func TestDailyMidnight(t *testing.T) {
	for _, o := range []sessions.DailyOptions{{}, {Secret: secret}} {
		synctest.Test(t, func(t *testing.T) {
			d := daily(t, o)
			absent := come(d, 1, clock(23, 20))
			here := come(d, 2, clock(23, 40))
			atEdge := come(d, 3, clock(23, 30))
			if k := come(d, 3, clock(24, 0)); k != atEdge {
				t.Error("exactly a gap is no gap")
			}
			if come(d, 1, clock(24, 1)) == absent {
				t.Error("a key was kept over midnight, of a visitor who had left")
			}
			fresh := come(d, 4, clock(24, 2))
			for _, at := range []time.Time{clock(24, 5), clock(24, 30), clock(25, 0)} {
				if come(d, 2, at) != here {
					t.Errorf("the visit was split at %v", at)
				}
			}
			if d.Key(heardOf(2, clock(24, 20))) != here || d.Key(heardOf(2, clock(23, 40))) != here {
				t.Error("events that come again are of another visitor")
			}
			again := come(d, 2, clock(25, 31))
			if again == here {
				t.Error("the key was kept beyond the visit")
			}
			if come(d, 2, clock(30, 0)) != again || come(d, 4, clock(30, 0)) != fresh {
				t.Error("a key lasts for less than a day")
			}
			if s := d.Stats(); s != (sessions.DailyStats{Remembered: 2}) {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestDailyEndless: who never leaves has a new key after the second midnight at the
// latest, or after the longest visit.
func TestDailyEndless(t *testing.T) {
	for limit, want := range map[time.Duration]time.Time{0: clock(48, 0), 2 * time.Hour: clock(26, 0)} {
		synctest.Test(t, func(t *testing.T) {
			d := daily(t, sessions.DailyOptions{Rules: sessions.Rules{Max: limit}})
			first := come(d, 1, clock(23, 50))
			last := clock(23, 50)
			for at := last; at.Before(clock(60, 0)); at = at.Add(10 * time.Minute) {
				if come(d, 1, at) == first {
					last = at
				}
			}
			if off := want.Sub(last); off < 0 || off > 10*time.Minute {
				t.Errorf("Max %v: the key was kept until %v, want %v", limit, last, want)
			}
		})
	}
}

// TestDailyOneSession: a visit over midnight is one session, through a Source or Enrich.
func TestDailyOneSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := sessions.Source{Key: daily(t, sessions.DailyOptions{}).Key}
		var views []beacon.PageView
		for m := 0; m < 60; m += 10 {
			at := clock(23, 30+m)
			time.Sleep(time.Until(at))
			e := heardOf(1, at)
			e.ID = fmt.Sprint(m)
			e.Body = beacon.JSON(fmt.Sprintf(`{"start":%d}`, at.UnixMilli()))
			v, _ := source.PageView(e)
			views = append(views, v)
		}
		if got := sessions.Of(views, sessions.Rules{}); len(got) != 1 || got[0].Views != 6 || got[0].Elapsed() != 50*time.Minute {
			t.Errorf("%+v", got)
		}
	})
}

// TestDailyRestart: what a restart costs, with and without a secret, and that machines
// with one secret agree, but for a visit that changes them at midnight.
func TestDailyRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random, shared, other := daily(t, sessions.DailyOptions{}), daily(t, sessions.DailyOptions{Secret: secret}), daily(t, sessions.DailyOptions{Secret: secret})
		a, b := come(random, 1, clock(12, 0)), come(shared, 1, clock(12, 0))
		if come(daily(t, sessions.DailyOptions{}), 1, clock(12, 1)) == a {
			t.Error("a random secret survived a restart")
		}
		if come(daily(t, sessions.DailyOptions{Secret: secret}), 1, clock(12, 1)) != b || come(other, 1, clock(12, 1)) != b {
			t.Error("a secret is for all servers")
		}
		before := come(shared, 1, clock(23, 50))
		after := come(other, 1, clock(24, 5))
		if before == after {
			t.Error("another server knows of the visit: say so in the doc")
		}
		if come(shared, 1, clock(24, 6)) != before {
			t.Error("the server that knows of the visit forgot")
		}
		if come(shared, 1, clock(30, 0)) != after {
			t.Error("the servers do not agree on the next day")
		}
	})
}

// TestDailyForgets: a day and its keys are gone when the next one is over, and what is
// late then has none, unless there is a secret to make it anew.
func TestDailyForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random, shared := daily(t, sessions.DailyOptions{}), daily(t, sessions.DailyOptions{Secret: secret})
		a, b := come(random, 1, clock(12, 0)), come(shared, 1, clock(12, 0))
		come(random, 2, clock(47, 0))
		if random.Key(heardOf(1, clock(12, 0))) != a {
			t.Error("yesterday is forgotten")
		}
		come(random, 2, clock(48, 1))
		if k := random.Key(heardOf(1, clock(12, 0))); k != "" || random.Stats().TooLate != 1 {
			t.Errorf("the day before yesterday is not forgotten: %q, %+v", k, random.Stats())
		}
		come(shared, 2, clock(480, 1))
		if shared.Key(heardOf(1, clock(12, 0))) != b {
			t.Error("a secret makes the same keys for all days")
		}
		if shared.Key(heardOf(1, clock(23, 50))); shared.Stats().Remembered != 0 {
			t.Errorf("a day of long ago is back: %+v", shared.Stats())
		}
		// A clock that was wrong for a moment takes nothing with it.
		c := come(random, 1, clock(481, 0))
		if k := random.Key(heardOf(1, clock(481, 0).AddDate(5, 0, 0))); k != "" {
			t.Errorf("in five years: %q", k)
		}
		if come(random, 1, clock(481, 1)) != c {
			t.Error("a wrong clock has ended all visits")
		}
	})
}

// TestDailyIsBounded: there is no more to remember of a flood of visitors.
func TestDailyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := daily(t, sessions.DailyOptions{MaxVisitors: 10})
		for v := range 1000 {
			come(d, v, clock(20, 0)) // too early to matter
		}
		if s := d.Stats(); s.Remembered != 0 {
			t.Errorf("%+v", s)
		}
		keys := map[int]string{}
		for v := range 100 {
			keys[v] = come(d, v, clock(23, 45))
		}
		for v := range 10 {
			come(d, v, clock(23, 50)) // who is known needs no room
		}
		kept := 0
		for range 2 { // with what is known already there is no more
			kept = 0
			for v := range 100 {
				if come(d, v, clock(24, 5)) == keys[v] {
					kept++
				}
			}
		}
		if s := d.Stats(); kept != 10 || s.Remembered != 10 || s.Forgotten != 90 {
			t.Errorf("%d are kept: %+v", kept, s)
		}
	})
}

func TestDailyConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := daily(t, sessions.DailyOptions{})
		var wg sync.WaitGroup
		keys := make([][]string, 8)
		for w := range keys {
			wg.Go(func() {
				for i := range 500 {
					keys[w] = append(keys[w], d.Key(heardOf(i%50, clock(23, 50).Add(time.Duration(i%10)*time.Second))))
					d.Stats()
				}
			})
		}
		wg.Wait()
		for w := range keys {
			if strings.Join(keys[w], " ") != strings.Join(keys[0], " ") {
				t.Fatal("two callers were told different keys")
			}
		}
	})
}

// TestDailyEnrich: it is of use behind a Handler, and says so where it is not.
func TestDailyEnrich(t *testing.T) {
	for name, c := range map[string]struct {
		policy beacon.IPPolicy
		peer   string
		proxy  string
		drop   bool
		key    bool
		logged string
	}{
		"full":           {beacon.IPFull, "203.0.113.7:1", "", false, true, ""},
		"dropped":        {beacon.IPFull, "203.0.113.7:1", "", true, true, ""},
		"none":           {beacon.IPNone, "203.0.113.7:1", "", true, false, "set Config.ClientIP"},
		"unnamed proxy":  {beacon.IPFull, "10.0.0.1:1", "203.0.113.7", false, true, "name the reverse proxy"},
		"local proxy":    {beacon.IPFull, "127.0.0.1:1", "203.0.113.7", false, true, "name the reverse proxy"},
		"on the machine": {beacon.IPFull, "127.0.0.1:1", "", false, true, ""},
	} {
		var log bytes.Buffer
		d := daily(t, sessions.DailyOptions{DropAddress: c.drop, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		var got []beacon.Event
		h, err := beacon.New(beacon.Config{ClientIP: c.policy, Enrich: d.Enrich, Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			got = append(got, events...)
			return nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			r := beacontest.NewRequest("/log-tracking", beacon.Text("hello"))
			r.RemoteAddr = c.peer
			if c.proxy != "" {
				r.Header.Set("X-Forwarded-For", c.proxy)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != http.StatusNoContent {
				t.Fatalf("%s: %d", name, w.Code)
			}
		}
		for _, e := range got {
			if (e.Session != "") != c.key || e.Session != got[0].Session || e.Request.ClientIP.IsValid() != (c.policy != beacon.IPNone && !c.drop) {
				t.Errorf("%s: %q of %v", name, e.Session, e.Request.ClientIP)
			}
		}
		if want := min(len(c.logged), 1); strings.Count(log.String(), "\n") != want || !strings.Contains(log.String(), c.logged) {
			t.Errorf("%s: logged %q", name, &log)
		}
		if n := d.Stats().NoAddress; (n == 3) != (c.policy == beacon.IPNone) {
			t.Errorf("%s: %d without an address", name, n)
		}
	}
	named := heardOf(1, time.Now())
	named.Session = "ada"
	if err := daily(t, sessions.DailyOptions{DropAddress: true}).Enrich(httptest.NewRequest("GET", "/", nil), &named); err != nil || named.Session != "ada" || named.Request.ClientIP.IsValid() {
		t.Errorf("%v %+v", err, named)
	}
}

func BenchmarkDaily(b *testing.B) {
	d, _ := sessions.NewDaily(sessions.DailyOptions{})
	e := heardOf(1, time.Now())
	b.ReportAllocs()
	for b.Loop() {
		d.Key(e)
	}
}
