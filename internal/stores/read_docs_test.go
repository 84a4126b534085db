package stores_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"math"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/store"
)

var sqlBlock = regexp.MustCompile("(?s)```sql ([a-z ]+)\n(.*?)```")

// TestDocs runs each block of SQL in docs/stores.md on the databases that it is for. What
// has a name in the table below has to give that answer.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/stores.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "```sql"); n != len(sqlBlock.FindAllString(string(text), -1)) {
		t.Errorf("%d blocks of SQL, and not all say for which databases", n)
	}
	ctx := context.Background()
	stores.All(t, func(t *testing.T, db *sql.DB, d store.Dialect) {
		s := open(t, db, d, store.Options{})
		consume(t, s, documented())
		answers := map[string]string{
			"pages":  "https://example.com/ 20 1.5 30|https://example.com/pricing 10 2 20|",
			"median": "https://example.com/ 20 1.5|https://example.com/pricing 10 2|",
			"next":   "https://example.com/ (left) 10|https://example.com/ https://example.com/pricing 10|https://example.com/pricing (left) 10|",
			"funnel": "20 10|",
			"data":   "pro 10|free 2|",
			"last":   "https://example.com/ 20|",
			"vitals": "LCP 257|", // of 200, 204, … 276
			"attrs":  "0 15 25|1 15 25|",
			"robots": "robots 2|visitors 18|",
			"twice":  "1|",
		}
		days, err := s.Days(ctx, store.Query{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, day := range days {
			answers["days"] += fmt.Sprintf("%s %d %d %s %s %s|", day.Date.Format(time.DateOnly), day.Sessions, day.Views,
				number(day.MeanEngaged.Seconds()), number(day.MedianEngaged.Seconds()), number(day.MedianElapsed.Seconds()))
		}
		of, err := s.Sessions(ctx, store.Query{From: midnight, To: midnight.Add(24 * time.Hour)})
		if err != nil || len(of) == 0 {
			t.Fatal(of, err)
		}
		at := func(t time.Time) string { return t.Format("2006-01-02 15:04:05.000000") }
		for _, x := range of {
			answers["sessions"] += fmt.Sprintf("%s %s %s %s %s %d %s %s|", x.Key, at(x.Start), at(x.End),
				number(x.Elapsed().Seconds()), number(x.Engaged.Seconds()), x.Views, x.Entry, x.Exit)
		}
		for _, block := range sqlBlock.FindAllStringSubmatch(string(text), -1) {
			info, statements := strings.Fields(block[1]), block[2]
			answer, mine := "", false
			for _, word := range info {
				mine = mine || word == strings.ToLower(d.String())
				if a, ok := answers[word]; ok {
					answer = a
				}
			}
			if !mine {
				continue
			}
			for statement := range strings.SplitSeq(strings.TrimSpace(statements), ";\n") {
				statement = strings.TrimSuffix(strings.TrimSpace(statement), ";")
				if !strings.HasPrefix(statement, "SELECT") && !strings.HasPrefix(statement, "WITH") {
					if _, err := db.Exec(statement); err != nil {
						t.Errorf("%v:\n%s", err, statement)
					}
					continue
				}
				got, err := answerOf(db, statement)
				if err != nil || got == "" || answer != "" && got != answer {
					t.Errorf("%v:\n%s\nanswers %s\nwant    %s", err, statement, got, answer)
				}
			}
		}
		// The store goes on with the columns of others in its tables.
		more := documented()
		for i := range more {
			more[i].ID += " again"
			more[i].View += " again"
		}
		consume(t, s, more)
	})
}

// TestDocsOpenClickHouse opens it as docs/stores.md does.
func TestDocsOpenClickHouse(t *testing.T) {
	_, dsn := stores.DSN(t, store.ClickHouse)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	of := u.Query()
	u.RawQuery = url.Values{"database": {of.Get("database")}}.Encode()
	t.Setenv("CLICKHOUSE_URL", u.String())
	t.Setenv("CLICKHOUSE_USER", of.Get("user"))
	t.Setenv("CLICKHOUSE_PASSWORD", of.Get("password"))
	ctx := context.Background()
	events, err := store.OpenClickHouse(ctx, store.ClickHouseOptions{
		URL:      os.Getenv("CLICKHOUSE_URL"),
		User:     os.Getenv("CLICKHOUSE_USER"),
		Password: os.Getenv("CLICKHOUSE_PASSWORD"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := events.Consume(ctx, documented()); err != nil {
		t.Fatal(err)
	}
	if of, err := events.Sessions(ctx, store.Query{}); err != nil || len(of) == 0 {
		t.Errorf("%v, %v", of, err)
	}
}

// TestCommentStore is package store's.
func TestCommentStore(t *testing.T) {
	_, dsn := stores.DSN(t, store.PostgreSQL)
	t.Setenv("DATABASE_URL", dsn)
	ctx := context.Background()
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	events, err := store.Open(ctx, db, store.PostgreSQL, store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	h, err := beacon.New(beacon.Config{Sink: events})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, beacontest.NewRequest("/", beacon.Text("bye")))
	if s := events.Stats(); w.Code != 204 || s.Stored != 1 {
		t.Errorf("%d, %+v", w.Code, s)
	}
}

// midnight is that of the day that the documentation asks for.
var midnight = time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)

// documented are the events of 20 visits of two pages or one, on two days.
func documented() (events []beacon.Event) {
	for n := range 20 {
		start := midnight.Add(2*time.Hour + time.Duration(n)*2*time.Hour)
		session := fmt.Sprintf("visit%02d", n)
		attrs := map[string]string{"user": fmt.Sprint(n % 4 / 2)}
		if n > 17 {
			attrs["robot"] = "by name"
		}
		add := func(view, name, page string, seq int, at time.Time, body string) {
			mode, series := beacon.ModeReplace, view+name
			if name == "log" {
				mode = beacon.ModeAppend
			}
			events = append(events, beacon.Event{
				ID: fmt.Sprint(session, view, name, seq), Name: name, Session: session, View: view, Series: series, Seq: uint64(seq), Mode: mode,
				Page: "https://example.com" + page, Time: at, Received: at, Sent: at, Body: beacon.JSON(body), Attrs: attrs,
			})
		}
		report := func(view, page string, seq int, start time.Time, length, engaged time.Duration) {
			add(view, "session", page, seq, start.Add(length), fmt.Sprintf(`{"start": %d, "end": %d, "seen": %d, "engaged": %d}`,
				start.UnixMilli(), start.Add(length).UnixMilli(), length.Milliseconds(), engaged.Milliseconds()))
		}
		report("a", "/", 1, start, time.Second, time.Second)
		report("a", "/", 2, start, 4*time.Second, 1500*time.Millisecond)
		add("a", "vital", "/", 1, start, `{"name": "LCP", "value": 100}`)
		add("a", "vital", "/", 2, start, fmt.Sprintf(`{"name": "LCP", "value": %d}`, 200+4*n))
		if n%2 == 0 {
			report("b", "/pricing", 1, start.Add(time.Minute), time.Duration(3+n)*time.Second, 2*time.Second)
			add("b", "log", "/pricing", 1, start.Add(time.Minute), `{"msg": "signup", "plan": "pro"}`)
		}
		if n < 2 {
			add("a", "log", "/", 1, start, `{"msg": "signup", "plan": "free"}`)
		}
		if n == 2 { // a tab in the background
			add("c", "session", "/hidden", 1, start, fmt.Sprintf(`{"start": %d, "end": %[1]d, "seen": 0, "engaged": 0}`, start.UnixMilli()))
		}
	}
	return events
}

// answerOf returns what a query answers, with a | behind each row.
func answerOf(db *sql.DB, query string) (answer string, err error) {
	rows, err := db.Query(query)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return "", err
		}
		var cells []string
		for i, v := range values {
			cells = append(cells, cell(columns[i], v))
		}
		answer += strings.Join(cells, " ") + "|"
	}
	return answer, rows.Err()
}

// cell is a value as all databases give it.
func cell(column string, v any) string {
	switch v := v.(type) {
	case time.Time:
		if column == "day" {
			return v.Format(time.DateOnly)
		}
		return v.UTC().Format("2006-01-02 15:04:05.000000")
	case []byte:
		return cell(column, string(v))
	case string:
		if f, err := strconv.ParseFloat(v, 64); err == nil {
			return number(f)
		}
		return v
	case int64:
		return number(float64(v))
	case float64:
		return number(v)
	}
	return fmt.Sprint(v)
}

func number(f float64) string { return strconv.FormatFloat(math.Round(f*1e4)/1e4, 'f', -1, 64) }
