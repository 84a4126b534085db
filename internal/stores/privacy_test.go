package stores_test

import (
	"bytes"
	"context"
	"database/sql"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/spool"
	"github.com/pagebeacon/beacon/store"
)

// TestNothingUnasked sends what identifies a visitor beside each beacon, whether it is taken
// or not, and looks for it in all that is kept or told: spool, dead letters, tables, the
// files of the database, the live page, logs, answers and statistics.
func TestNothingUnasked(t *testing.T) {
	for _, c := range []struct {
		name   string
		config beacon.Config
		has    string // of the address
		not    []string
	}{
		{"no address", beacon.Config{}, "", []string{visitorIP, behindProxy, "203.0.113.", "198.51.100."}},
		{"truncated", beacon.Config{ClientIP: beacon.IPTruncated}, "203.0.113.0", []string{visitorIP, behindProxy}},
		{"truncated behind a proxy", beacon.Config{ClientIP: beacon.IPTruncated,
			TrustedProxies: []netip.Prefix{netip.MustParsePrefix(visitorIP + "/32")}}, "198.51.100.0", []string{visitorIP, behindProxy}},
		{"asked for", beacon.Config{ClientIP: beacon.IPFull}, visitorIP, []string{behindProxy}},
	} {
		t.Run(c.name, func(t *testing.T) {
			look := func(t *testing.T, db *sql.DB, d store.Dialect) {
				x := lay(t, db, d, c.config)
				x.sendAll(t, "sessionMark")
				not := append([]string{secretCookie, secretLogin, secretHeader}, c.not...)
				never(t, "in the spool", x.places(t), not...)
				close(x.hold)
				x.delivered(t)
				places := x.places(t)
				never(t, "in the store", places, not...)

				// What is meant to be there is, or nothing was looked at.
				for _, want := range []string{"bodyMark-log", "bodyMark-gzip", "bodyMark-form", "bodyMark-json", "bodyMark-pixel", "agentMark", "sessionMark", c.has} {
					if !strings.Contains(places["rows"], want) {
						t.Errorf("%q is not in the rows", want)
					}
				}
				var dead strings.Builder
				for name, text := range places {
					if strings.HasSuffix(name, ".dead") {
						dead.WriteString(text)
					}
				}
				if !strings.Contains(dead.String(), "bodyMark-poison") || strings.Contains(places["rows"], "bodyMark-poison") {
					t.Error("the dead letter is not where it should be")
				}
				logs := places["logs, answers and statistics"]
				for _, want := range []string{`"reason":"origin"`, `"reason":"body-too-large"`, `"reason":"malformed-multipart"`, "dead letters", `"msg":"beacon"`} {
					if !strings.Contains(logs, want) {
						t.Errorf("%q is not in the logs", want)
					}
				}
				for _, body := range []string{"bodyMark", "refused: the size", "Set-Cookie"} { // what visitors said is in no log, and nobody is given a cookie
					if strings.Contains(logs, body) {
						t.Errorf("%q is in the logs", body)
					}
				}
				if err := x.events.Close(context.Background()); err != nil {
					t.Error(err)
				}
				never(t, "after the end", x.places(t), not...)
			}
			if c.name == "no address" {
				stores.All(t, look)
			} else { // one database shows what the others are given
				look(t, stores.DB(t, store.SQLite), store.SQLite)
			}
		})
	}
}

const secretQuery = "query5Rt1secret"

// redact leaves of an event what a privacy notice may promise, as Config.Enrich.
func redact(_ *http.Request, e *beacon.Event) error {
	if e.Privacy.GPC || e.Privacy.DNT {
		return beacon.ErrDrop // answered as if it had been taken
	}
	e.Page = withoutQuery(e.Page)
	e.Query = nil // what a pixel says is in it: keep the fields that you know
	e.Request.UserAgent = ""
	switch b := e.Body.(type) {
	case beacon.Report:
		return beacon.ErrDrop // it has whole addresses in many places
	case beacon.Ping:
		e.Body = beacon.Ping{From: withoutQuery(b.From), To: withoutQuery(b.To)}
	}
	return nil
}

func withoutQuery(address string) string {
	if i := strings.IndexAny(address, "?#"); i >= 0 {
		return address[:i]
	}
	return address
}

// TestRedacted: what Enrich leaves out is nowhere, and neither is what it drops. Without it
// the addresses that browsers send are stored as they are.
func TestRedacted(t *testing.T) {
	for _, enrich := range []func(*http.Request, *beacon.Event) error{nil, redact} {
		x := lay(t, stores.DB(t, store.SQLite), store.SQLite, beacon.Config{Enrich: enrich})
		x.sendAll(t, "sessionMark") // for the live page
		address := "https://shop.example/reset?code=" + secretQuery
		report := `[{"age":1,"type":"csp-violation","url":"` + address + `","user_agent":"a","body":{"documentURL":"` + address + `"}}]`
		for _, also := range [][]string{
			{"POST", "", "application/json", `{"msg":"bodyMark-redacted"}`, "Referer", address},
			{"POST", "", "text/ping", "PING", "Ping-From", address + "#" + secretQuery, "Ping-To", address},
			{"GET", "?code=" + secretQuery, "", "", "Origin", "", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "no-cors"},
			{"POST", "", "application/reports+json", report},
			{"POST", "?code=" + secretQuery, "text/plain", "refused", "Origin", "https://evil.example"},
		} {
			x.send(t, also[0], also[1], also[2], []byte(also[3]), also[4:]...)
		}
		x.send(t, "POST", "", "application/json", []byte(`{"msg":"dropped4Gpc"}`), "Sec-Gpc", "1")
		x.send(t, "POST", "", "application/json", []byte(`{"msg":"dropped4Dnt"}`), "Dnt", "1")
		close(x.hold)
		x.delivered(t)
		places := x.places(t)
		if enrich == nil {
			for word, n := range map[string]int{secretQuery: 5, "dropped4Gpc": 1, "dropped4Dnt": 1} {
				if strings.Count(places["rows"], word) < n {
					t.Errorf("%q is not in the rows, where it is looked for below", word)
				}
			}
		} else {
			never(t, "redacted", places, secretQuery, "dropped4Gpc", "dropped4Dnt")
			if !strings.Contains(places["rows"], "bodyMark-redacted") || strings.Contains(places["rows"], "agentMark") {
				t.Error("what is to be left is not, or what is to be left out is")
			}
		}
		if err := x.events.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// TestErased is the way of a visitor's request: what is stored of them is handed over, and
// then erased, from the tables and from the dead letters, and nothing of others is.
func TestErased(t *testing.T) {
	ctx := context.Background()
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		x := lay(t, db, d, beacon.Config{})
		const visitor, other = "visitor1Mark", "visitor2Mark"
		x.sendAll(t, visitor)
		x.sendAll(t, other)
		close(x.hold)
		x.delivered(t)

		var copied bytes.Buffer
		if n, err := x.stored.Export(ctx, &copied, store.Query{Session: visitor}); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		for _, want := range []string{"bodyMark-log", "bodyMark-gzip", "agentMark", visitor} {
			if !strings.Contains(copied.String(), want) {
				t.Errorf("%q is not in what is handed over", want)
			}
		}
		if strings.Contains(copied.String(), other) {
			t.Error("what is handed over is of another one too")
		}

		if n, err := x.stored.Forget(ctx, visitor); n != 4 || err != nil { // three events and a page view
			t.Fatal(n, err)
		}
		if err := x.events.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if err := forgetDeadLetters(x.dir, visitor); err != nil {
			t.Fatal(err)
		}
		if d == store.SQLite { // its file keeps what was erased until the place is used again
			for _, statement := range []string{"VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"} {
				if _, err := db.Exec(statement); err != nil {
					t.Fatal(err)
				}
			}
		}
		places := x.places(t)
		delete(places, "live page")                    // which is memory,
		delete(places, "logs, answers and statistics") // and sink.Log writes sessions
		never(t, "erased", places, visitor)
		dead := 0
		for name, text := range places {
			if strings.HasSuffix(name, ".dead") {
				dead += strings.Count(text, `"session":"`+other+`"`)
			}
		}
		if dead != 1 || strings.Count(places["rows"], other) < 4 {
			t.Errorf("%d dead letters of another one are left, and of the rows\n%.2000s", dead, places["rows"])
		}
	})
}

// forgetDeadLetters erases those of a session, and leaves all others where they are. The
// program that has the spool must not run.
func forgetDeadLetters(dir, session string) error {
	away, err := os.MkdirTemp(filepath.Dir(dir), "forget")
	if err != nil {
		return err
	}
	defer os.RemoveAll(away)
	nobody := beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })
	empty, err := spool.Open(away, nobody, spool.Options{MaxBytes: 1 << 20})
	if err != nil {
		return err
	}
	if err := empty.Close(context.Background()); err != nil {
		return err
	}
	_, err = spool.Replay(dir, away, func(r spool.Record) bool { return r.Event.Session == session })
	return err
}
