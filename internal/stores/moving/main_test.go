package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sessions"
	"github.com/pagebeacon/beacon/store"
)

// A captured request is what boomerang 1.815.1 sent from Chromium 156: a visit of three
// pages with beacon_type GET, and one with POST. At is when it came.
type captured struct {
	At      int64
	Method  string
	Target  string
	Referer string
	Agent   string
	Type    string
	Body    string
}

func capture(t *testing.T) (requests []captured) {
	t.Helper()
	f, err := os.Open("testdata/boomerang.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var c captured
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		requests = append(requests, c)
	}
	if len(requests) != 12 {
		t.Fatalf("%d requests", len(requests))
	}
	return requests
}

// line is what a server writes of a request.
func (c captured) line(format string, status int) string {
	at := time.UnixMilli(c.At).In(time.FixedZone("", 2*60*60))
	return fmt.Sprintf(format, "203.0.113.7", at.Format("02/Jan/2006:15:04:05 -0700"), c.Method, c.Target, status, c.Referer, c.Agent)
}

const nginx = `%s - - [%s] "%s %s HTTP/1.1" %d 43 "%s" "%s"` + "\n"

func opened(t *testing.T, file string) *store.Store {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := store.Open(context.Background(), db, store.SQLite, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// visits returns each session: its views, pages, and how long it was.
func visits(t *testing.T, s *store.Store) (all []sessions.Session) {
	t.Helper()
	all, err := s.Sessions(context.Background(), store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestBoomerang: what boomerang sends is a session of three pages, by GET and by POST; and
// the same requests out of an access log, read by the program, are the same session, to the
// second that a log has. Beacons that are in both are stored once.
func TestBoomerang(t *testing.T) {
	requests := capture(t)
	live := opened(t, filepath.Join(t.TempDir(), "live.db"))
	var at time.Time
	h, err := beacon.New(beacon.Config{Sink: live, Enrich: func(r *http.Request, e *beacon.Event) error {
		e.Received, e.Time = at, at // as if it were then
		return fromBoomerang(r, e)
	}})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	for _, c := range requests {
		at = time.UnixMilli(c.At).UTC()
		r := httptest.NewRequest(c.Method, "http://shop.example:18765"+c.Target, strings.NewReader(c.Body))
		r.Header.Set("Referer", c.Referer)
		if c.Type != "" {
			r.Header.Set("Content-Type", c.Type)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if want := map[string]int{"GET": 200, "POST": 204}[c.Method]; w.Code != want {
			t.Fatalf("%s: %d, want %d", c.Method, w.Code, want)
		}
		log.WriteString(c.line(nginx, w.Code))
	}
	for e, err := range live.Events(context.Background(), store.Query{Limit: 1}) {
		var measured struct {
			Done  time.Duration `schema:"t_done"`
			Start time.Time     `schema:"rt_tstart"`
		}
		if err := errors.Join(err, e.Bind(&measured)); err != nil || measured.Done <= 0 || measured.Start.IsZero() {
			t.Errorf("%+v, %v", measured, err)
		}
	}
	got := visits(t, live)
	if len(got) != 2 {
		t.Fatalf("%d sessions, want one by GET and one by POST: %+v", len(got), got)
	}
	for i, s := range got {
		first, last := requests[6*i], requests[6*i+5]
		page := map[string]string{"GET": "http://shop.example:18765/page%d?type=GET", "POST": "http://shop.example:18765/page%d?type=POST"}[first.Method]
		if s.Views != 3 || s.Entry != fmt.Sprintf(page, 1) || s.Exit != fmt.Sprintf(page, 3) || !s.End.Equal(time.UnixMilli(last.At)) {
			t.Errorf("%+v; want three pages until %v", s, time.UnixMilli(last.At))
		}
		form, _ := url.ParseQuery(strings.TrimPrefix(first.Target, "/beacon?") + "&" + first.Body)
		if started := fmt.Sprint(s.Start.UnixMilli()); started != form.Get("rt.tstart") {
			t.Errorf("it started at %s, boomerang says %s", started, form.Get("rt.tstart"))
		}
	}

	// The log has other lines, too, and no bodies of POSTs.
	log.WriteString(captured{Method: "GET", Target: "/index.html", Referer: "-", Agent: "-"}.line(nginx, 200))
	log.WriteString(captured{Method: "GET", Target: "/beacon?refused=1", Referer: "-", Agent: "-"}.line(nginx, 403))
	log.WriteString("no line of a log\n")
	dir := t.TempDir()
	file := filepath.Join(dir, "visits.db")
	program := filepath.Join(dir, "moving")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for range 2 { // a second time changes nothing
		c := exec.Command(program, "-path", "/beacon", "-db", file)
		c.Stdin = strings.NewReader(log.String())
		if out, err := c.CombinedOutput(); err != nil || string(out) != "12 events\n" {
			t.Fatalf("%v: %s", err, out)
		}
	}
	again := opened(t, file)
	for e, err := range again.Events(context.Background(), store.Query{}) {
		if err != nil || e.Request.ClientIP.IsValid() {
			t.Errorf("an address was stored: %+v, %v", e.Request, err)
		}
	}
	read := visits(t, again)
	if len(read) != 1 {
		t.Fatalf("%d sessions, want the one by GET: %+v", len(read), read)
	}
	a, b := got[0], read[0]
	if d := a.End.Sub(b.End); a.ID != b.ID || a.Views != b.Views || a.Entry != b.Entry || a.Exit != b.Exit || !a.Start.Equal(b.Start) || d < 0 || d >= time.Second {
		t.Errorf("from the log %+v\nfrom the page %+v", b, a)
	}

	// Into the store that has them already: nothing comes twice.
	before := count(t, live)
	if _, err := read_(log.String(), live, fromBoomerang); err != nil {
		t.Fatal(err)
	}
	if after := count(t, live); after != before+6 { // the POSTs' lines, which say nothing
		t.Errorf("%d events, and %d before; want only the six without a body more", after, before)
	}
	if all := visits(t, live); len(all) != 2 || all[0].Views != 3 || all[1].Views != 3 {
		t.Errorf("%+v", all)
	}
}

func read_(log string, to beacon.Sink, enrich func(*http.Request, *beacon.Event) error) (int, error) {
	return read(context.Background(), strings.NewReader(log), "/beacon", to, enrich)
}

func count(t *testing.T, s *store.Store) (n int) {
	t.Helper()
	for _, err := range s.Events(context.Background(), store.Query{}) {
		if n++; err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// TestLines: what servers write into a log comes out of it as it was.
func TestLines(t *testing.T) {
	for _, tt := range []struct{ line, page, agent, q string }{
		{`::1 - frank [04/Mar/2026:05:06:07 +0100] "GET /beacon?q=a%20b HTTP/1.1" 204 0 "https://shop.example/\xC3\xA4" "agent \x22quoted\x22"`, "https://shop.example/ä", `agent "quoted"`, "a b"}, // nginx
		{`::1 - - [04/Mar/2026:05:06:07 +0100] "HEAD /beacon?q=1+2 HTTP/2.0" 200 43 "-" "agent \"quoted\" and \\" "extra"`, "", `agent "quoted" and \`, "1 2"},                                      // Apache
		{`host - - [04/Mar/2026:05:06:07 +0100] "GET https://shop.example/beacon?q=%E9;x HTTP/1.1" 304 - "-" "-"`, "", "", "\xe9;x"},                                                                // of a proxy
		{`::1 - - [04/Mar/2026:05:06:07 +0100] "GET /beacon?q=<b> HTTP/1.1" 200 43 "odd \q" "-"`, `odd \q`, "", "<b>"},                                                                              // of neither
		{`::1 - - [04/Mar/2026:05:06:07 +0100] "GET /beacons?q=1 HTTP/1.1" 200 43 "-" "-"`, "", "", "-"},
		{`::1 - - [04/Mar/2026:05:06:07 +0100] "GET /beacon?q=1 HTTP/1.1" 404 43 "-" "-"`, "", "", "-"},
		{`::1 - - [yesterday] "GET /beacon?q=1 HTTP/1.1" 200 43 "-" "-"`, "", "", "-"},
		{`::1 - - [04/Mar/2026:05:06:07 +0100] "\x16\x03\x01" 400 157 "-" "-"`, "", "", "-"},
	} {
		e, ok := event(tt.line, "/beacon")
		if want := tt.q != "-"; ok != want {
			t.Errorf("%s: %v", tt.line, ok)
		} else if ok && (e.Page != tt.page || e.Request.UserAgent != tt.agent || e.Query.Get("q") != tt.q || !e.Received.Equal(time.Date(2026, 3, 4, 4, 6, 7, 0, time.UTC))) {
			t.Errorf("%s: %+v", tt.line, e)
		}
	}
}

// TestPixel: an image in old pages and mails is answered as ever, each of a page is a page
// view, and the history of a log has the visits that the same requests make when they come.
func TestPixel(t *testing.T) {
	daily := func() *sessions.Daily {
		d, err := sessions.NewDaily(sessions.DailyOptions{Secret: []byte("sixteen or more, random, and secret"), DropAddress: true})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	live, file := opened(t, filepath.Join(t.TempDir(), "live.db")), opened(t, filepath.Join(t.TempDir(), "log.db"))
	start := time.Now().UTC().Truncate(24 * time.Hour).Add(10 * time.Hour)
	var at time.Time
	enrich := fromPixel(daily())
	h, err := beacon.New(beacon.Config{Sink: live, ClientIP: beacon.IPFull, Enrich: func(r *http.Request, e *beacon.Event) error {
		e.Received, e.Time = at, at
		return enrich(r, e)
	}})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	for _, hit := range []struct {
		minute  int
		address string
		page    string
	}{
		{0, "203.0.113.7", "/a"}, {5, "203.0.113.7", "/b"}, {5, "203.0.113.7", "/b2"}, {5, "203.0.113.8", "/a"}, {6, "203.0.113.7", "/c"}, {120, "203.0.113.7", "/a"},
	} {
		at = start.Add(time.Duration(hit.minute) * time.Minute)
		r := httptest.NewRequest("GET", "/beacon?p="+url.QueryEscape(hit.page), nil)
		r.Host = "" // a combined log does not say
		r.RemoteAddr = hit.address + ":1"
		r.Header.Set("Referer", "https://shop.example"+hit.page)
		r.Header.Set("User-Agent", "agent")
		r.Header.Set("Accept", "image/webp,*/*")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 || w.Header().Get("Content-Type") != "image/gif" || w.Body.Len() != 43 {
			t.Fatalf("%d %v", w.Code, w.Header())
		}
		c := captured{At: at.UnixMilli(), Method: "GET", Target: r.URL.RequestURI(), Referer: r.Header.Get("Referer"), Agent: "agent"}
		log.WriteString(strings.Replace(c.line(nginx, 200), "203.0.113.7", hit.address, 1))
	}
	if n, err := read_(log.String(), file, fromPixel(daily())); n != 6 || err != nil {
		t.Fatal(n, err)
	}
	for _, s := range []*store.Store{live, file} {
		var got []string
		for _, v := range visits(t, s) {
			got = append(got, fmt.Sprintf("%d views in %v, %s to %s", v.Views, v.Elapsed(), v.Entry, v.Exit))
		}
		want := "4 views in 6m0s, https://shop.example/a to https://shop.example/c|" +
			"1 views in 0s, https://shop.example/a to https://shop.example/a|1 views in 0s, https://shop.example/a to https://shop.example/a"
		if strings.Join(got, "|") != want {
			t.Errorf("%v", got)
		}
		for e, err := range s.Events(context.Background(), store.Query{}) {
			if err != nil || e.Request.ClientIP.IsValid() || e.Session == "" {
				t.Errorf("%+v, %v", e, err)
			}
		}
	}
}

// TestMail: a pixel of mails opens no visit, and is stored all the same.
func TestMail(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "mail.db"))
	h, err := beacon.New(beacon.Config{Sink: s})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/open.gif?mail=42", bytes.NewReader(nil))
	r.Header.Set("Accept", "image/*")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 200 || w.Body.Len() != 43 || len(visits(t, s)) != 0 || count(t, s) != 1 {
		t.Errorf("%d, %d bytes, %d sessions, %d events", w.Code, w.Body.Len(), len(visits(t, s)), count(t, s))
	}
	for e := range s.Events(context.Background(), store.Query{}) {
		if e.Query.Get("mail") != "42" {
			t.Errorf("%+v", e)
		}
	}
}
