// Package arrives provokes what docs/nothing-arrives.md has in its tables.
package arrives

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sink"
)

const root = "../../../"

const pageName = "docs/nothing-arrives.md"

// read returns a file of the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(root + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// rows returns the first cells of the tables of a page, in order.
func rows(page string) (cells []string) {
	lines := strings.Split(page, "\n")
	for i, line := range lines {
		if !strings.HasPrefix(line, "| ") || i+1 < len(lines) && strings.HasPrefix(lines[i+1], "|--") {
			continue
		}
		cells = append(cells, strings.TrimSpace(strings.Split(line, "|")[1]))
	}
	return cells
}

// elsewhere are the rows that other tests provoke: the file, and what is in it.
var elsewhere = map[string][2]string{
	"`beacon [insecure]`":                          {"client/test/debug.test.mjs", `["insecure"`},
	"`beacon [pending]`":                           {"internal/browsers/debug_test.go", "beacon [pending]"},
	"`beacon [denied]`":                            {"client/test/debug.test.mjs", `["denied"`},
	"`beacon [gpc]`":                               {"client/test/debug.test.mjs", `["gpc"`},
	"`beacon [csp]`":                               {"internal/browsers/debug_test.go", "beacon [csp]"},
	"`beacon [path]`":                              {"internal/browsers/debug_test.go", "beacon [path]"},
	"`beacon [option]`":                            {"internal/browsers/debug_test.go", "beacon [option]"},
	"`beacon [refused]`":                           {"client/test/debug.test.mjs", `test("why a beacon was refused"`},
	"`beacon is not defined`":                      {"internal/browsers/consent_test.go", "func TestQueue("},
	"one view for a whole single-page application": {"client/test/spa.test.mjs", "for (const spa of"},
	"`too-heavy` (413)":                            {"budget_test.go", "ReasonTooHeavy"},
	"`sink_hangs`":                                 {"spool/poison_test.go", "SinkHangs"},
	"the session is not in `store.Query{From: midnight}`": {"internal/stores/read_query_test.go", "func TestRanges("},
	"what I sent a moment ago is not there":               {"client/test/session.test.mjs", `test("totals every 30 s and when hidden`},
	"413, 429, 502, 504":                                  {"internal/hosts/proxies_test.go", "func TestProxyLimits("},
	"200 with nothing":                                    {"internal/hosts/proxies_test.go", "func TestProxySlow("},
	"it works, and after a restart it is gone":            {"sink/queue_test.go", "VolatileQueue"},
}

// TestArrives: each row of the page is provoked, here or by a test that there is, and
// nothing is provoked that is not on the page.
func TestArrives(t *testing.T) {
	page := read(t, pageName)
	provoked := map[string]func(*testing.T){}
	for _, group := range []map[string]func(*testing.T){refusedRows, otherRows, takenRows, waitingRows, sessionRows} {
		maps.Copy(provoked, group)
	}
	for _, row := range rows(page) {
		if test := provoked[row]; test != nil {
			t.Run(row, test)
			delete(provoked, row)
		} else if e, ok := elsewhere[row]; !ok {
			t.Errorf("%s: nobody provokes %q", pageName, row)
		} else if text := read(t, e[0]); !strings.Contains(text, e[1]) {
			t.Errorf("%s: %q is to be provoked by %s, which has no %q", pageName, row, e[0], e[1])
		}
	}
	for row := range provoked {
		t.Errorf("%s has no row %q", pageName, row)
	}
	for row := range elsewhere {
		if !slices.Contains(rows(page), row) {
			t.Errorf("%s has no row %q", pageName, row)
		}
	}
	reasons := regexp.MustCompile(`(?m)^\tReason\w+ += "([^"]+)"`).FindAllStringSubmatch(read(t, "errors.go"), -1)
	if len(reasons) < 20 {
		t.Errorf("only %d reasons were found", len(reasons))
	}
	for _, reason := range reasons {
		if !strings.Contains(page, "`"+reason[1]+"`") {
			t.Errorf("%s: no row for %q", pageName, reason[1])
		}
	}
}

// watched is a Config that tells what becomes of beacons.
func watched(cfg beacon.Config) beacon.Config {
	cfg.Logger = slog.Default() // refusals and failures, with their reasons
	cfg.OnRefused = func(r *http.Request, body []byte, why *beacon.RequestError) {
		slog.Info("refused", "method", r.Method, "path", r.URL.Path, "origin", r.Header.Get("Origin"), "why", why, "bytes", len(body))
	}
	cfg.Sink = sink.Tee(sink.Required(cfg.Sink), sink.BestEffort(sink.Log(slog.Default().Handler(), slog.LevelInfo), nil))
	return cfg
}

// TestWatched: what the page says to write down in advance tells of what came and of what
// was refused.
func TestWatched(t *testing.T) {
	var out bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	defer slog.SetDefault(before)
	h := handler(t, watched(beacon.Config{Sink: taken(nil)}))
	send(h, post("application/json", `{"a":1}`))
	send(h, post("application/json", `{"a":1}`, "Origin", "https://evil.example"))
	for _, want := range []string{`msg=beacon `, `kind=json`, `msg="beacon not taken" reason=origin`, `msg=refused method=POST path=/_pb origin=https://evil.example`, `bytes=7`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
}

func handler(t *testing.T, c beacon.Config) *beacon.Handler {
	t.Helper()
	h, err := beacon.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// taken is a Sink that returns err, and counts what it is given.
func taken(err error, counts ...*int) beacon.Sink {
	return beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		for _, n := range counts {
			*n += len(events)
		}
		return err
	})
}

// post is a beacon of the page at http://shop.example.
func post(contentType, body string, also ...string) *http.Request {
	r := httptest.NewRequest("POST", "http://shop.example/_pb", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Origin", "http://shop.example")
	for i := 0; i < len(also); i += 2 {
		r.Header.Set(also[i], also[i+1])
	}
	return r
}

func send(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
