package stores_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/store"
)

// hostile are texts that some database, driver, or its text form of an array would take
// for another.
var hostile = []string{
	"a", "A", "a ", " a", "a\t", "a\n", "ä", "a\u0308", "\u00e4 ", "á", "ß", "ss", "ﬀ", "I", "ı", "\u200b", "a\u200b", "\u00ad",
	"NULL", "null", "{}", "{NULL}", `"`, `\`, `\\`, `\"`, `'`, `''`, `a,b`, `a","b`, `{"a"}`, `%s`, `?`, `$1`, `--`, `;`, "`",
	"\x00", "a\x00", "a\x00b", "\xff", "a\xff", "a\xfe", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80", "\uFFFD", "a\uFFFD",
	"\x01", "\x1e", "a\x1eb", "\x1f", "\x7f", "\u0085", "\u2028", "\U0001F600", "\U0010FFFF", "\ufeff",
	strings.Repeat("k", 255), strings.Repeat("k", 256), strings.Repeat("k", 257), strings.Repeat("ä", 127), strings.Repeat("ä", 128),
	strings.Repeat("\U0001F600", 64), strings.Repeat("\U0001F600", 63), strings.Repeat("k", 100_000), strings.Repeat("k", 100_000) + "l",
	storedKey("\x00"), storedKey("\xff"), storedKey(strings.Repeat("k", 256)), // which are those of others
	storedKey(storedKey("\x00")),
}

// TestHostileTexts: no two IDs, keys or attributes are the same to a database, and no
// event is refused for what it says.
func TestHostileTexts(t *testing.T) {
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		s := open(t, db, d, store.Options{})
		var events []beacon.Event
		for i, text := range hostile {
			at := time.UnixMicro(int64(i)).UTC()
			events = append(events, beacon.Event{
				ID: text, Name: text, Time: at, Received: at, Sent: at, Page: text, Session: text, View: text, Series: text,
				Seq: 1, Mode: beacon.ModeReplace, Attrs: map[string]string{text: "1", "a": text},
				Body:    beacon.Form{{Name: "start", Value: "1700000000000"}, {Name: text, Value: text}},
				Query:   beacon.Form{{Name: text, Value: text}},
				Request: beacon.Request{ID: text, UserAgent: text},
				Errors:  []beacon.FieldError{{Key: text, Value: text, Reason: text}},
			})
		}
		// What happens beside page views is known by its ID.
		for i, text := range hostile {
			at := time.UnixMicro(int64(1_000 + i)).UTC()
			events = append(events, beacon.Event{ID: text + "*", Time: at, Received: at, Session: "activity", Body: beacon.Ping{}})
		}
		for range 2 {
			if err := s.Consume(context.Background(), events); err != nil {
				t.Fatal(err)
			}
		}
		want := slices.Clone(events)
		stores.Merge(t, db)
		got := storedEvents(t, db)
		byTime := func(a, b beacon.Event) int { return a.Time.Compare(b.Time) }
		slices.SortFunc(got, byTime)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("(-want +got)\n%s", diff[:min(len(diff), 2000)])
		}
		sameAsJoined(t, db, events)
		for _, q := range []struct{ query, want string }{
			{"SELECT COUNT(DISTINCT id) FROM beacon_events", fmt.Sprint(2 * len(hostile))},
			{"SELECT COUNT(DISTINCT session) FROM beacon_events", fmt.Sprint(len(hostile) + 1)},
			{"SELECT COUNT(*) FROM beacon_page_views", fmt.Sprint(2 * len(hostile))},
			{"SELECT COUNT(*) FROM beacon_page_views AS v JOIN beacon_events AS e ON v.view = e.id WHERE activity = 1", fmt.Sprint(len(hostile))},
			{"SELECT COUNT(*) FROM beacon_attrs", fmt.Sprint(2*len(hostile) - 1)}, // of "a" both are of one name
		} {
			var got string
			if err := db.QueryRow(q.query).Scan(&got); err != nil || got != q.want {
				t.Errorf("%s: %s, want %s (%v)", q.query, got, q.want, err)
			}
		}
		p := map[store.Dialect]string{store.PostgreSQL: "$1"}[d]
		if p == "" {
			p = "?"
		}
		for _, text := range hostile {
			for _, c := range []struct{ column, want string }{
				{"id", storedKey(text)}, {"session", storedKey(text)}, {"view", storedKey(text)}, {"series", storedKey(text)},
				{"page", storedText(text, 2048)}, {"name", storedText(text, 2048)},
			} {
				var n int
				err := db.QueryRow("SELECT COUNT(*) FROM beacon_events WHERE "+c.column+" = "+p, c.want).Scan(&n)
				if err != nil || n < 1 || n > 1 && (c.column != "page" && c.column != "name") {
					t.Errorf("%d events with %s = %.80q (%v)", n, c.column, c.want, err)
				}
			}
		}
	})
}

// TestData: the column data has the JSON that the database can read, or NULL.
func TestData(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	bodies := []struct {
		body beacon.Body
		want string // "" is NULL; "=" is the body; "?" is one of both
	}{
		{beacon.JSON(`{"a":1,"b":"x","c":[true,null,1.5e3]}`), "="},
		{beacon.JSON(`"text"`), "="},
		{beacon.JSON(`12`), "="},
		{beacon.JSON(`null`), "="},
		{beacon.JSON(` {"a" : 1} `), "="},
		{beacon.JSON(`{"a":"\ud83d\ude00 \u00e4 \\u0000"}`), "="},
		{beacon.JSON(`{"a":"\u0000"}`), ""},
		{beacon.JSON(`{"a\u0000":1}`), ""},
		{beacon.JSON(`{"a":"\ud800"}`), ""},
		{beacon.JSON(`{"a":"\ud800\u0041"}`), ""},
		{beacon.JSON(`{"a":"\ud800x"}`), ""},
		{beacon.JSON(`{"a":"\udc00"}`), ""},
		{beacon.JSON(`{"a":"\ud800\ud800"}`), ""},
		{beacon.JSON(`1e308`), "="},
		{beacon.JSON(`1e309`), ""},
		{beacon.JSON(`-1e999999999`), ""},
		{beacon.JSON(`1e-999999999`), ""},
		{beacon.JSON(`0e999999999`), ""},
		{beacon.JSON(`0.` + strings.Repeat("0", 20_000) + "1"), ""},
		{beacon.JSON(strings.Repeat("9", 200_000)), ""},
		{beacon.JSON(`{"a":9007199254740993}`), "="},
		{beacon.JSON(`{"a":1,"a":2}`), "="},
		{beacon.JSON("{\"a\":\"x\x1ey\"}"), ""}, // which is none
		{beacon.JSON(deep(30)), "="},
		{beacon.JSON(deep(31)), "?"},
		{beacon.JSON(deep(512)), "?"},
		{beacon.JSON(deep(513)), ""},
		{beacon.JSON(deep(9000)), ""},
		{beacon.JSON(`{"broken":`), ""},
		{beacon.JSON("{\"a\":\"\xff\"}"), ""},
		{beacon.JSON(""), ""},
		{beacon.Report{Type: "crash", Body: []byte(`{"reason":"oom"}`)}, `{"reason":"oom"}`},
		{beacon.Report{Type: "crash"}, ""},
		{beacon.Form{{Name: "a", Value: "1"}, {Name: "a", Value: "2"}, {Name: "b\"\\", Value: "ä"}}, `{"a":"1","b\"\\":"ä"}`},
		{beacon.Form{{Name: "a", Value: "\x00"}}, ""},
		{beacon.Form{{Name: "a", Value: "\xff"}}, ""},
		{beacon.Form{{Name: "f", File: &beacon.File{Name: "x.txt", Data: []byte("hi")}}}, `{"f":"x.txt"}`},
		{beacon.Ping{From: "https://a/", To: "https://b/"}, `{"from":"https://a/","to":"https://b/"}`},
		{beacon.Text("hi"), ""},
		{beacon.Binary{Data: []byte{0, 255}}, ""},
		{beacon.Empty{}, `{"q":"1"}`},
		{nil, ""},
	}
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		s := open(t, db, d, store.Options{})
		for i, b := range bodies {
			e := beacon.Event{ID: fmt.Sprint(i), Received: time.Unix(1, 0).UTC(), Body: b.body}
			if _, ok := b.body.(beacon.Empty); ok {
				e.Query = beacon.Form{{Name: "q", Value: "1"}}
			}
			// One by one, and again among others.
			if err := s.Consume(context.Background(), []beacon.Event{e}); err != nil {
				t.Fatalf("%.80v: %v", b.body, err)
			}
			var got sql.NullString
			if err := db.QueryRow(fmt.Sprintf("SELECT data FROM beacon_events WHERE id = '%d'", i)).Scan(&got); err != nil {
				t.Fatal(err)
			}
			want := b.want
			if text, ok := b.body.(beacon.JSON); ok && (want == "=" || want == "?" && got.Valid) {
				want = string(text)
			} else if want == "?" {
				want = ""
			}
			if got.Valid != (want != "") {
				t.Errorf("%.80v: %.80v", b.body, got)
				continue
			}
			if !got.Valid {
				continue
			}
			valid := map[store.Dialect]string{
				store.PostgreSQL: "SELECT data = $1::jsonb FROM beacon_events WHERE id = '%d'",
				store.SQLite:     "SELECT json_valid(data) AND data = ? FROM beacon_events WHERE id = '%d'",
				store.MySQL:      "SELECT JSON_VALID(data) AND data = ? FROM beacon_events WHERE id = '%d'",
				store.ClickHouse: "SELECT data = ? FROM beacon_events WHERE id = '%d'",
			}[d]
			var ok bool
			if err := db.QueryRow(fmt.Sprintf(valid, i), want).Scan(&ok); err != nil || !ok {
				t.Errorf("%.80s: %.80s (%v)", want, got.String, err)
			}
		}
		var n int
		if err := db.QueryRow("SELECT COUNT(*) FROM beacon_events").Scan(&n); err != nil || n != len(bodies) {
			t.Errorf("%d events of %d (%v)", n, len(bodies), err)
		}
	})
}

// TestLarge: events of 4 MiB, which is what a Handler takes, and of more.
func TestLarge(t *testing.T) {
	const size = 4 << 20
	binary := make([]byte, size)
	for i := range binary {
		binary[i] = byte(i * 7)
	}
	bodies := []beacon.Body{
		beacon.JSON(`{"a":"` + strings.Repeat("x", size-8) + `"}`),
		beacon.JSON(`[` + strings.Repeat(`"é", `, size/6-2) + `"\u0000"]`),
		beacon.Text(strings.Repeat("\"\\", size/2)),
		beacon.Text(strings.Repeat("\x00\xff", size/2)),
		beacon.Binary{Data: binary},
		beacon.Form{{Name: "a", Value: strings.Repeat("ä", size/2)}, {Name: "f", File: &beacon.File{Name: "x", Data: binary}}},
	}
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		s := open(t, db, d, store.Options{})
		var want []beacon.Event
		for i, b := range bodies {
			at := time.Unix(int64(i), 0).UTC()
			want = append(want, beacon.Event{ID: fmt.Sprint(i), Time: at, Received: at, Body: b})
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		if err := s.Consume(ctx, want); err != nil {
			t.Fatal(err)
		}
		got := storedEvents(t, db)
		if len(got) != len(want) {
			t.Fatalf("%d events", len(got))
		}
		for i := range got {
			a, err := want[i].MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if b, err := got[i].MarshalJSON(); err != nil || !bytes.Equal(a, b) {
				t.Errorf("event %d came back as another", i)
			}
		}
	})
}

// TestTooLarge: what MariaDB can never take is named, and costs its neighbours nothing.
func TestTooLarge(t *testing.T) {
	db := stores.DB(t, store.MySQL)
	s := open(t, db, store.MySQL, store.Options{})
	at := time.Unix(1, 0).UTC()
	event := func(id string, size int) beacon.Event {
		return beacon.Event{ID: id, Time: at, Received: at, Body: beacon.Text(strings.Repeat("x", size))}
	}
	var packet int
	if err := db.QueryRow("SELECT @@max_allowed_packet").Scan(&packet); err != nil {
		t.Fatal(err)
	}
	// Some are as long as can be, with less than what is left for the rest of the row.
	err := s.Consume(context.Background(), []beacon.Event{
		event("a", 10), event("b", packet), event("c", packet-80<<10), event("d", 3*packet), event("e", 10),
	})
	part, ok := errors.AsType[*beacon.PartialError](err)
	if !ok || !slices.Equal(part.Failed, []int{1, 3}) || !beacon.IsPermanent(err) {
		t.Errorf("%.300v", err)
	}
	var ids []string
	for _, e := range storedEvents(t, db) {
		ids = append(ids, e.ID)
	}
	if !slices.Equal(ids, []string{"a", "c", "e"}) {
		t.Errorf("stored: %v", ids)
	}
	if err := s.Consume(context.Background(), []beacon.Event{event("b", packet)}); !beacon.IsPermanent(err) {
		t.Errorf("%.300v", err)
	}
}
