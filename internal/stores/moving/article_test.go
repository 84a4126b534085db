package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/sessions"
)

// byHand is what stood there: a handler that reads three fields of a form and logs them.
func byHand(logger *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		number := func(field string) float64 {
			n, err := strconv.ParseFloat(r.FormValue(field), 64)
			if err != nil {
				return math.NaN()
			}
			return n
		}
		seconds := (number("end") - number("start")) / 1000
		text := fmt.Sprintf("%.2f seconds", seconds)
		if seconds > 60 {
			text = fmt.Sprintf("%.2f minutes", seconds/60)
		}
		logger.Info("In session for: " + text)
		logger.Info("Tracking info: " + r.FormValue("msg"))
	})
}

// page is one visit as the page with the hand-written script tells it: a beacon for each
// thing that happens, and one for the end. Each has the start and the time now.
func page(start time.Time, last time.Duration) (forms []beacon.Form) {
	for _, said := range []struct {
		msg   string
		after time.Duration
	}{{"page loaded", 20 * time.Millisecond}, {"button \"Send\" clicked", last / 2}, {"page left", last}} {
		forms = append(forms, beacon.Form{
			{Name: "start", Value: fmt.Sprint(start.UnixMilli())},
			{Name: "end", Value: fmt.Sprint(start.Add(said.after).UnixMilli())},
			{Name: "msg", Value: said.msg},
		})
	}
	return forms
}

// plain is a log with nothing but its messages.
func plain(b *bytes.Buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key != slog.MessageKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// TestArticle: the page that is there sends what it always did, to the old handler and to
// the new one, and both log the same. With a store in its place the visits come out, each as
// long as the last line of it said.
func TestArticle(t *testing.T) {
	var before, after bytes.Buffer
	same, err := sameEndpoint(plain(&after))
	if err != nil {
		t.Fatal(err)
	}
	s := opened(t, filepath.Join(t.TempDir(), "visits.db"))
	stored, err := beacon.New(beacon.Config{Sink: s})
	if err != nil {
		t.Fatal(err)
	}
	start := time.UnixMilli(1_772_600_767_123).UTC()
	lasts := []time.Duration{12340 * time.Millisecond, 90 * time.Second, 20 * time.Millisecond, 59_990 * time.Millisecond, time.Hour + 15*time.Second}
	for i, last := range lasts {
		for _, form := range page(start.Add(time.Duration(i)*time.Minute), last) {
			for _, old := range []http.Handler{byHand(plain(&before)), same, stored} {
				w := httptest.NewRecorder()
				old.ServeHTTP(w, beacontest.NewRequest("/log-tracking", form))
				if w.Code/100 != 2 {
					t.Fatalf("%v: %d", form, w.Code)
				}
			}
		}
	}
	if before.String() != after.String() {
		t.Errorf("the old handler logs\n%s\nand the new one\n%s", &before, &after)
	}
	for _, want := range []string{"In session for: 12.34 seconds", "In session for: 1.50 minutes", "Tracking info: page left", "60.25 minutes"} {
		if !strings.Contains(after.String(), want) {
			t.Errorf("%q is not in the log:\n%s", want, &after)
		}
	}
	got := visits(t, s)
	if len(got) != len(lasts) {
		t.Fatalf("%d sessions, want %d", len(got), len(lasts))
	}
	for i, last := range lasts {
		if got[i].Elapsed() != last || got[i].Views != 1 {
			t.Errorf("%+v lasted %v, want %v", got[i], got[i].Elapsed(), last)
		}
	}

	// A page without an end, which the article shows first: the old handler made NaN of it.
	for _, h := range []http.Handler{byHand(plain(&before)), same} {
		h.ServeHTTP(httptest.NewRecorder(), beacontest.NewRequest("/log-tracking", beacon.Form{{Name: "start", Value: fmt.Sprint(time.Now().UnixMilli())}, {Name: "msg", Value: "no end"}}))
	}
	if !strings.Contains(before.String(), "NaN seconds") || strings.Contains(after.String(), "NaN") || !strings.HasSuffix(after.String(), "msg=\"Tracking info: no end\"\n") {
		t.Errorf("%s\n%s", &before, &after)
	}
}

// TestArticleInOtherForms: what the page puts the same fields into makes no difference.
func TestArticleInOtherForms(t *testing.T) {
	for _, r := range []*http.Request{
		beacontest.NewRequest("/log-tracking", beacon.JSON(`{"start": 1772600767123, "end": 1772600779463, "msg": "page left"}`)),
		beacontest.NewRequest("/log-tracking", beacon.Text(`{"start": "1772600767123", "end": "1772600779463", "msg": "page left"}`)),
		beacontest.NewRequest("/log-tracking", beacon.Binary{Type: "application/x-www-form-urlencoded", Data: []byte("start=1772600767123&end=1772600779463&msg=page+left")}),
		httptest.NewRequest("GET", "/log-tracking?start=1772600767123&end=1772600779463&msg=page+left", nil),
	} {
		var out bytes.Buffer
		h, err := sameEndpoint(plain(&out))
		if err != nil {
			t.Fatal(err)
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
		if want := "msg=\"In session for: 12.34 seconds\"\nmsg=\"Tracking info: page left\"\n"; out.String() != want {
			t.Errorf("%s %s: %s", r.Method, r.Header.Get("Content-Type"), &out)
		}
	}
}

// TestBothOnAPage: a page that has the old script and the tag is two visits.
func TestBothOnAPage(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "visits.db"))
	h, err := beacon.New(beacon.Config{Sink: s})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UnixMilli()
	h.ServeHTTP(httptest.NewRecorder(), beacontest.NewRequest("/_pb", beacon.Form{{Name: "start", Value: fmt.Sprint(now)}, {Name: "end", Value: fmt.Sprint(now + 5)}}))
	h.ServeHTTP(httptest.NewRecorder(), beacontest.NewRequest("/_pb", beacon.Text(fmt.Sprintf(`{"v":1,"m":"replace","k":"s","b":"b","r":1,"sid":"s","pv":"v","via":"now","at":%d,`+
		`"ev":[{"n":1,"t":%[1]d,"e":"session","d":{"start":%[1]d,"end":%[1]d,"seen":5,"engaged":5}}]}`, now))))
	if n := len(visits(t, s)); n != 2 {
		t.Errorf("%d sessions", n)
	}
}

// TestSameMillisecond: a start is all that tells views of two visitors apart, unless
// somebody says whose they are.
func TestSameMillisecond(t *testing.T) {
	daily, err := sessions.NewDaily(sessions.DailyOptions{DropAddress: true})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		config beacon.Config
		want   int
	}{
		"as they come": {beacon.Config{}, 1},
		"with Daily":   {beacon.Config{Enrich: daily.Enrich, ClientIP: beacon.IPFull}, 2},
	} {
		s := opened(t, filepath.Join(t.TempDir(), "visits.db"))
		tt.config.Sink = s
		h, err := beacon.New(tt.config)
		if err != nil {
			t.Fatal(err)
		}
		for _, visitor := range []string{"192.0.2.1:1234", "198.51.100.7:1234"} {
			for _, form := range page(time.UnixMilli(1_772_600_767_123), time.Minute) {
				r := beacontest.NewRequest("/log-tracking", form)
				r.RemoteAddr = visitor
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
		}
		if got := visits(t, s); len(got) != tt.want {
			t.Errorf("%s: %d sessions, want %d", name, len(got), tt.want)
		}
	}
}
