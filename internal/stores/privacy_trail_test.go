package stores_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/limit"
	"github.com/pagebeacon/beacon/live"
	"github.com/pagebeacon/beacon/sink"
	"github.com/pagebeacon/beacon/spool"
	"github.com/pagebeacon/beacon/store"
)

// What a browser sends along with each beacon and nobody asked for. The words are in no
// other part of a request.
const (
	secretCookie = "cookie7Qx2secret"
	secretLogin  = "login9Zk4secret"
	secretHeader = "header3Wv8secret"
	visitorIP    = "203.0.113.77" // of the connection
	behindProxy  = "198.51.100.66"
)

// A trail is all places where something of a visitor could be.
type trail struct {
	db      *sql.DB
	d       store.Dialect
	file    string // of SQLite
	dir     string // of the spool
	live    *httptest.Server
	out     *safeBuffer // logs, answers, statistics
	stored  *store.Store
	events  *spool.Spool
	hold    chan struct{} // what is in the spool is not delivered until it is closed
	url     string
	limiter *limit.Limiter
}

// safeBuffer is a log that several goroutines write to.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// lay makes a receiver with everything in it that may keep or tell something: limiter,
// spool, store, live page, and a log of all levels.
func lay(t *testing.T, db *sql.DB, d store.Dialect, c beacon.Config) *trail {
	t.Helper()
	x := &trail{db: db, d: d, dir: filepath.Join(t.TempDir(), "spool"), out: &safeBuffer{}, hold: make(chan struct{})}
	if d == store.SQLite {
		if err := db.QueryRow("SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&x.file); err != nil {
			t.Fatal(err)
		}
	}
	logger := slog.New(slog.NewJSONHandler(x.out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	x.stored = open(t, db, d, store.Options{})
	behind := beacon.SinkFunc(func(ctx context.Context, events []beacon.Event) error {
		select {
		case <-x.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
		bad := &beacon.PartialError{Err: fmt.Errorf("the store does not want it: %w", beacon.ErrPermanent)}
		var good []beacon.Event
		for i, e := range events {
			if e.Name == "poison" {
				bad.Failed = append(bad.Failed, i)
			} else {
				good = append(good, e)
			}
		}
		if err := x.stored.Consume(ctx, good); err != nil {
			return err
		}
		if bad.Failed != nil {
			return bad
		}
		return nil
	})
	var err error
	if x.events, err = spool.Open(x.dir, behind, spool.Options{Logger: logger}); err != nil {
		t.Fatal(err)
	}
	l, err := live.New(live.Options{Checks: []live.Check{{Name: "spool", Stats: func() any { return x.events.Stats() }}}})
	if err != nil {
		t.Fatal(err)
	}
	x.live = httptest.NewServer(l)
	t.Cleanup(x.live.Close)
	c.Sink = sink.Tee(sink.Required(sink.Dedup(x.events, sink.DedupOptions{})), sink.BestEffort(l, nil),
		sink.BestEffort(sink.Log(logger.Handler(), slog.LevelDebug), nil))
	c.Logger, c.OnRefused = logger, l.Refused
	if x.limiter, err = limit.New(limit.Options{}); err != nil {
		t.Fatal(err)
	}
	h, err := beacon.New(x.limiter.Guard(c))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = visitorIP + ":40000"
		h.ServeHTTP(w, r)
		s, _ := json.Marshal(map[string]any{"beacon": h.Stats(), "spool": x.events.Stats(), "store": x.stored.Stats(), "limit": x.limiter.Stats()})
		x.out.Write(s)
	}))
	t.Cleanup(srv.Close)
	x.url = srv.URL
	return x
}

// send sends what a browser would, with all that it has to say, and returns the status.
func (x *trail) send(t *testing.T, method, query, contentType string, body []byte, also ...string) int {
	t.Helper()
	r, err := http.NewRequest(method, x.url+"/_pb"+query, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	set := append([]string{
		"Content-Type", contentType, "Origin", x.url, "Referer", x.url + "/page", "User-Agent", "agentMark/1.0",
		"Cookie", "sid=" + secretCookie + "; other=1", "Authorization", "Bearer " + secretLogin, "Proxy-Authorization", "Basic " + secretLogin,
		"X-Forwarded-For", behindProxy, "X-Real-Ip", behindProxy, "Forwarded", "for=" + behindProxy, "Cf-Connecting-Ip", behindProxy,
		"X-Csrf-Token", secretHeader, "X-Api-Key", secretHeader, "Accept-Language", secretHeader, "If-None-Match", secretHeader,
		"Sec-Ch-Ua-Model", secretHeader, "Traceparent", secretHeader,
	}, also...)
	for i := 0; i < len(set); i += 2 {
		if set[i+1] == "" {
			r.Header.Del(set[i])
		} else {
			r.Header.Set(set[i], set[i+1])
		}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	fmt.Fprintln(x.out, resp.Header, string(answer))
	return resp.StatusCode
}

// places returns what is in each place: the rows of all tables, files, logs and answers,
// and what the live page is given.
func (x *trail) places(t *testing.T) map[string]string {
	t.Helper()
	places := map[string]string{"logs, answers and statistics": x.out.String(), "rows": x.rows(t)}
	files := func(root string) {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a segment that was delivered
			}
			places[filepath.Base(path)] = string(b)
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	files(x.dir)
	if x.file != "" {
		files(filepath.Dir(x.file))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, "GET", x.live.URL+"/stream", nil)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	shown := make([]byte, 0, 1<<20)
	for !bytes.Contains(shown, []byte("agentMark")) || !bytes.Contains(shown, []byte("poison")) {
		b := make([]byte, 64<<10)
		n, err := resp.Body.Read(b)
		shown = append(shown, b[:n]...)
		if err != nil {
			t.Fatalf("%v; the live page shows %.3000s", err, shown)
		}
	}
	places["live page"] = string(shown)
	return places
}

// rows are all rows of all tables that the store has made.
func (x *trail) rows(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	tables := []string{"events", "page_views", "attrs", "meta"}
	if stores.IsClickHouse(x.db) {
		tables = []string{"events", "event_ids", "page_views", "attrs", "meta"}
	}
	for _, table := range tables {
		rows, err := x.db.Query("SELECT * FROM beacon_" + table)
		if err != nil {
			t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				if b, ok := v.([]byte); ok {
					v = string(b)
				}
				fmt.Fprint(&all, v, "\n")
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// never fails where one of the words is, also in base64, as headers hold passwords.
func never(t *testing.T, when string, places map[string]string, words ...string) {
	t.Helper()
	for place, text := range places {
		for _, word := range words {
			for _, form := range []string{word, base64.StdEncoding.EncodeToString([]byte(word))} {
				if at := strings.Index(text, form); at >= 0 {
					t.Errorf("%s: %q is in %s: …%q…", when, form, place, text[max(0, at-100):min(len(text), at+60)])
				}
			}
		}
	}
}

// envelope is a message of the browser client, as it sends it.
func envelope(session, name, data string) []byte {
	return fmt.Appendf(nil, `{"v":1,"m":"append","k":%q,"b":"b","r":1,"sid":%q,"pv":"view-%[2]s","page":"https://shop.example/basket","via":"now","at":%[3]d,`+
		`"ev":[{"n":1,"t":%[3]d,"e":%[1]q,"d":%[4]s}]}`, name, session, time.Now().UnixMilli(), data)
}

// sendAll sends every kind of beacon, good ones and bad ones, as session.
func (x *trail) sendAll(t *testing.T, session string) {
	t.Helper()
	gz := func(b []byte) []byte {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		w.Write(b)
		w.Close()
		return z.Bytes()
	}
	form := "--B\r\nContent-Disposition: form-data; name=\"msg\"\r\n\r\nbodyMark-form\r\n--B--\r\n"
	for _, c := range []struct {
		method, query, contentType, body string
		status                           int
		also                             []string
	}{
		{"POST", "", "text/plain", string(envelope(session, "session", fmt.Sprintf(`{"start":%d,"end":%[1]d,"seen":5,"engaged":5}`, time.Now().UnixMilli()))), 204, nil},
		{"POST", "", "text/plain", string(envelope(session, "log", `{"msg":"bodyMark-log"}`)), 204, nil},
		{"POST", "", "text/plain", string(gz(envelope(session, "note", `{"msg":"bodyMark-gzip"}`))), 204, []string{"Content-Encoding", "gzip"}},
		{"POST", "", "text/plain", string(envelope(session, "poison", `{"msg":"bodyMark-poison"}`)), 204, nil},
		{"POST", "", "multipart/form-data; boundary=B", form, 204, nil},
		{"POST", "", "application/json", `{"msg":"bodyMark-json"}`, 204, nil},
		{"GET", "?msg=bodyMark-pixel", "", "", 200, []string{"Origin", "", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "no-cors"}},
		{"POST", "", "text/ping", "PING", 204, []string{"Ping-To", "https://elsewhere.example/", "Ping-From", "https://shop.example/"}},
		{"POST", "", "application/reports+json", `[{"age":1,"type":"csp-violation","url":"https://shop.example/","user_agent":"a","body":{"blockedURL":"inline"}}]`, 204, nil},
		{"POST", "", "application/csp-report", `{"csp-report":{"document-uri":"https://shop.example/","blocked-uri":"inline"}}`, 204, nil},
		{"POST", "", "text/plain", "refused: the origin", 403, []string{"Origin", "https://evil.example"}},
		{"POST", "", "multipart/form-data; boundary=B", "--B\r\nno form", 400, nil},
		{"POST", "", "text/plain", strings.Repeat("refused: the size", 100_000), 413, nil},
		{"PATCH", "", "text/plain", "refused: the method", 405, nil},
	} {
		if got := x.send(t, c.method, c.query, c.contentType, []byte(c.body), c.also...); got != c.status {
			t.Fatalf("%s %s %.60q: %d, want %d", c.method, c.contentType, c.body, got, c.status)
		}
	}
}

// delivered waits until the spool has nothing left.
func (x *trail) delivered(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := x.events.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}
