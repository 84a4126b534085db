package beaconprom_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	beaconprom "github.com/pagebeacon/beacon/connect/prometheus"
	"github.com/pagebeacon/beacon/limit"
	"github.com/pagebeacon/beacon/sessions"
	"github.com/pagebeacon/beacon/sink"
	"github.com/pagebeacon/beacon/spool"
)

// A site is one of each, wired up as a host does it.
type site struct {
	handler *beacon.Handler
	options beaconprom.Options
}

// newSite makes a site in front of a store.
func newSite(t *testing.T, store beacon.Sink) site {
	t.Helper()
	events, err := spool.Open(t.TempDir(), store, spool.Options{Sync: spool.Never})
	must(t, err)
	tracker, err := sessions.NewTracker(sessions.TrackerOptions{})
	must(t, err)
	daily, err := sessions.NewDaily(sessions.DailyOptions{})
	must(t, err)
	limiter, err := limit.New(limit.Options{Events: 1, EventBurst: 60})
	must(t, err)
	queue := sink.VolatileQueue(store, sink.QueueOptions{})
	h, err := beacon.New(limiter.Guard(beacon.Config{
		AnyOrigin: true,
		Sink:      sink.Tee(sink.Required(events), sink.Required(tracker), sink.Required(queue)),
		Admit: func(r *http.Request) error {
			if why := r.Header.Get("X-Why"); why != "" { // a host that lets clients say why it refuses them
				return &beacon.RequestError{Status: http.StatusForbidden, Reason: why}
			}
			return nil
		},
	}))
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // what is left is of no interest
		_, _, _ = events.Close(ctx), queue.Close(ctx), tracker.Close(ctx)
	})
	return site{h, beaconprom.Options{
		Handlers: map[string]*beacon.Handler{"site": h},
		Spools:   map[string]*spool.Spool{"site": events},
		Queues:   map[string]*sink.Queue{"site": queue},
		Limiters: map[string]*limit.Limiter{"site": limiter},
		Trackers: map[string]*sessions.Tracker{"site": tracker},
		Dailies:  map[string]*sessions.Daily{"site": daily},
		Reasons:  []string{"no-such-site"},
	}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// registry returns a strict one with all of o.
func registry(t *testing.T, o beaconprom.Options) *prometheus.Registry {
	t.Helper()
	c, err := beaconprom.New(o)
	must(t, err)
	r := prometheus.NewPedanticRegistry()
	must(t, r.Register(c))
	return r
}

// scrape returns the values of all series, by name and labels.
func scrape(t *testing.T, g prometheus.Gatherer) map[string]string {
	t.Helper()
	families, err := g.Gather()
	must(t, err)
	var b bytes.Buffer
	for _, f := range families {
		_, err := expfmt.MetricFamilyToText(&b, f)
		must(t, err)
	}
	series := map[string]string{}
	for line := range strings.Lines(b.String()) {
		if !strings.HasPrefix(line, "#") {
			i := strings.LastIndexByte(line, ' ')
			series[line[:i]] = strings.TrimSpace(line[i:])
		}
	}
	return series
}

// Whatever clients send, there are the series that there were before, and no others: also
// if the host makes reasons of what they say.
func TestNothingFromClientsIsALabel(t *testing.T) {
	s := newSite(t, new(beacontest.Recorder))
	r := registry(t, s.options)
	// What begins to exist with the first event are times of when something last happened.
	s.handler.ServeHTTP(httptest.NewRecorder(), beacontest.NewRequest("/", beacon.Text("first")))
	must(t, beacon.Flush(t.Context(), s.options.Spools["site"]))
	before := scrape(t, r)

	const mark = "h0stile"
	rnd := rand.New(rand.NewPCG(1, 2))
	hostile := func() string {
		return mark + []string{"", "\"} 1\nbeacon_x 1", "\xff\xfe", "{a=\"b\"}", "\u202e", "\\", strings.Repeat("x", 200)}[rnd.IntN(7)] + fmt.Sprint(rnd.Uint64())
	}
	answers := map[int]int{}
	for i := range 800 {
		var body any
		switch rnd.IntN(4) {
		case 0:
			body = hostile()
		case 1:
			body = fmt.Sprintf(`{"_b":1,"s":%q,"v":%q,"n":%q}`, hostile(), hostile(), hostile())
		case 2:
			body = strings.Repeat("[", 1000) + hostile()
		case 3:
			body = strings.Repeat(hostile(), 5000)
		}
		method := []string{"POST", "POST", "POST", "GET", "OPTIONS", "DELETE", "H0STILE"}[rnd.IntN(7)]
		req := httptest.NewRequest(method, "/?session="+fmt.Sprintf("%x", hostile())+"&name="+mark, strings.NewReader(fmt.Sprint(body)))
		req.RemoteAddr = fmt.Sprintf("203.0.113.%d:1", i%10)
		for _, h := range []string{"Origin", "Content-Type", "Content-Encoding", "User-Agent", "Referer", "X-Forwarded-For", "Sec-Fetch-Site", "Idempotency-Key"} {
			if rnd.IntN(3) == 0 {
				req.Header.Set(h, hostile())
			}
		}
		if rnd.IntN(4) == 0 {
			req.Host = hostile()
		}
		if rnd.IntN(8) == 0 {
			req.Header.Set("X-Why", hostile())
		}
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, req)
		answers[w.Code]++
	}
	after := scrape(t, r)
	for name := range after {
		if _, ok := before[name]; !ok || strings.Contains(strings.ToLower(name), mark) {
			t.Errorf("new: %.200s", name)
		}
	}
	if len(before) != len(after) {
		t.Errorf("%d series became %d", len(before), len(after))
	}
	if other := after[`beacon_refused_requests_total{name="site",reason="other"}`]; other == "0" {
		t.Error("no reason of the host's own was met")
	}
	if answers[204] < 20 || answers[403] < 20 || answers[405] < 20 || answers[429] < 20 || len(answers) < 5 {
		t.Errorf("answers: %v", answers)
	}
}

// The words that the host says are its own have a label of their own.
func TestReasons(t *testing.T) {
	s := newSite(t, new(beacontest.Recorder))
	r := registry(t, s.options)
	for i, why := range []string{"no-such-site", "no-such-site", "what else", "origin"} {
		req := beacontest.NewRequest("/", beacon.Text("x"))
		req.Header.Set("X-Why", why)
		s.handler.ServeHTTP(httptest.NewRecorder(), req)
		if got := scrape(t, r)[`beacon_requests_total{name="site",outcome="refused"}`]; got != fmt.Sprint(i+1) {
			t.Errorf("%s refused", got)
		}
	}
	got := scrape(t, r)
	for reason, n := range map[string]string{"no-such-site": "2", "other": "1", "origin": "1", "method": "0"} {
		if is := got[fmt.Sprintf(`beacon_refused_requests_total{name="site",reason="%s"}`, reason)]; is != n {
			t.Errorf("%s: %q, want %s", reason, is, n)
		}
	}
}

// Scrapes may run at any time, beside each other and beside all that they count, and counters
// do not go back.
func TestConcurrentScrapes(t *testing.T) {
	s := newSite(t, new(beacontest.Recorder))
	r := registry(t, s.options)
	stop := make(chan struct{})
	var load, scrapes sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					s.handler.ServeHTTP(httptest.NewRecorder(), beacontest.NewRequest("/", beacon.Text("x")))
				}
			}
		})
	}
	for range 4 {
		scrapes.Go(func() {
			last := 0.0
			for range 50 {
				families, err := r.Gather()
				if err != nil {
					t.Error(err)
					return
				}
				i := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == "beacon_body_size_bytes" })
				h := families[i].Metric[0].GetHistogram()
				if n := float64(h.GetSampleCount()); n < last || h.Bucket[len(h.Bucket)-1].GetCumulativeCount() > h.GetSampleCount() {
					t.Errorf("after %v: %v", last, h)
				} else {
					last = n
				}
			}
		})
	}
	scrapes.Wait()
	close(stop)
	load.Wait()
}

// While the sink behind everything hangs, and requests wait for it, a scrape is answered,
// and says so.
func TestScrapeDoesNotWaitForSinks(t *testing.T) {
	var requests sync.WaitGroup
	release := make(chan struct{})
	defer func() {
		close(release)
		requests.Wait()
	}()
	hang := beacon.SinkFunc(func(context.Context, []beacon.Event) error { <-release; return nil })
	s := newSite(t, hang)
	direct, err := beacon.New(beacon.Config{Sink: hang})
	must(t, err)
	s.options.Handlers["direct"] = direct
	r := registry(t, s.options)
	for range 5 {
		requests.Go(func() {
			direct.ServeHTTP(httptest.NewRecorder(), beacontest.NewRequest("/", beacon.Text("x")))
		})
	}
	for range 5 {
		s.handler.ServeHTTP(httptest.NewRecorder(), beacontest.NewRequest("/", beacon.Text("x")))
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		got := scrape(t, r) // which comes back every time: if it did not, the test would not end
		if got[`beacon_active_requests{name="direct"}`] == "5" && got[`beacon_spool_pending_events{name="site"}`] == "5" &&
			got[`beacon_queue_pending_events{name="site"}`] == "5" && got[`beacon_spool_oldest_event_age_seconds{name="site"}`] != "0" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v", got)
		}
	}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	h, err := beacon.New(beacon.Config{Sink: new(beacontest.Recorder)})
	must(t, err)
	for want, o := range map[string]beaconprom.Options{
		"nothing to collect":  {},
		`spool "a" is nil`:    {Spools: map[string]*spool.Spool{"a": nil}, Handlers: map[string]*beacon.Handler{"": h}},
		`queue "\xff" is nil`: {Queues: map[string]*sink.Queue{"\xff": nil}},
		"not UTF-8":           {Handlers: map[string]*beacon.Handler{"\xff": h}},
		`"" in Reasons`:       {Handlers: map[string]*beacon.Handler{"": h}, Reasons: []string{"ok", ""}},
		`"\xff" in Reasons`:   {Handlers: map[string]*beacon.Handler{"": h}, Reasons: []string{"\xff"}},
	} {
		if c, err := beaconprom.New(o); c != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, %v; want %s", c, err, want)
		}
	}
}

// What is in Options belongs to the caller again once New has returned.
func TestOptionsAreCopied(t *testing.T) {
	s := newSite(t, new(beacontest.Recorder))
	r := registry(t, s.options)
	before := scrape(t, r)
	clear(s.options.Handlers)
	s.options.Reasons[0] = "changed"
	if after := scrape(t, r); len(after) != len(before) || after[`beacon_refused_requests_total{name="site",reason="no-such-site"}`] != "0" {
		t.Errorf("%d series became %d", len(before), len(after))
	}
}

func BenchmarkGather(b *testing.B) {
	h, err := beacon.New(beacon.Config{Sink: new(beacontest.Recorder)})
	if err != nil {
		b.Fatal(err)
	}
	events, err := spool.Open(b.TempDir(), new(beacontest.Recorder), spool.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer events.Close(context.Background())
	c, err := beaconprom.New(beaconprom.Options{Handlers: map[string]*beacon.Handler{"": h}, Spools: map[string]*spool.Spool{"": events}})
	if err != nil {
		b.Fatal(err)
	}
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
