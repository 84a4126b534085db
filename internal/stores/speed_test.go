package stores_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/store"
)

// The speed tests measure, with BEACON_SPEED=1 in the environment. They take turns, so
// that what else the machine does hits all of them.

func needSpeed(t *testing.T) {
	if os.Getenv("BEACON_SPEED") == "" {
		t.Skip("BEACON_SPEED is not set")
	}
}

const (
	speedEvents  = 40_000
	speedBatch   = 1_000
	speedWriters = 4
	speedRounds  = 5
)

// plainEvents are events that tell of no page view: JSON of 100 bytes, and the headers
// of a browser.
func plainEvents(n int) []beacon.Event {
	all := make([]beacon.Event, n)
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range all {
		at := start.Add(time.Duration(i) * time.Millisecond)
		all[i] = beacon.Event{
			ID: uuid(i), Name: "vitals", Time: at, Received: at, Sent: at.Add(-20 * time.Millisecond),
			Body: beacon.JSON(fmt.Sprintf(`{"lcp":%d,"cls":0.0123,"inp":48,"ttfb":113,"navigation":"navigate","connection":"4g","n":%d}`, i%5000, i)),
			Page: fmt.Sprintf("https://example.com/articles/%d", i%500), Session: uuid(i / 20), View: uuid(i / 5),
			Request: beacon.Request{
				ID: uuid(i), Method: "POST", Host: "example.com", Path: "/log-tracking", ContentType: "text/plain;charset=UTF-8",
				Origin: "https://example.com", FetchSite: "same-origin", FetchMode: "no-cors",
				UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
			},
		}
	}
	return all
}

// uuid returns an ID that is as long as those of clients, and as random in its order.
func uuid(n int) string {
	x := uint64(n+1) * 0x9E3779B97F4A7C15
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", x>>32, x>>16&0xffff, x&0xfff, x>>20&0xfff, n)
}

// rate runs write for all batches on four goroutines, and returns events a second.
func rate(t *testing.T, n int, write func(from, to int) error) float64 {
	t.Helper()
	return rateOf(t, n, speedBatch, write)
}

func rateOf(t *testing.T, n, batch int, write func(from, to int) error) float64 {
	t.Helper()
	next := make(chan int)
	var wg sync.WaitGroup
	begin := time.Now()
	for range speedWriters {
		wg.Go(func() {
			for from := range next {
				if err := write(from, min(from+batch, n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for from := 0; from < n; from += batch {
		next <- from
	}
	close(next)
	wg.Wait()
	return float64(n) / time.Since(begin).Seconds()
}

func TestSpeedOfInserts(t *testing.T) {
	needSpeed(t)
	db := stores.DB(t, store.PostgreSQL)
	s := open(t, db, store.PostgreSQL, store.Options{})
	events := plainEvents(speedEvents)
	ctx := context.Background()
	if err := s.Consume(ctx, events); err != nil {
		t.Fatal(err)
	}
	names, rows := storedCells(t, db)
	list := strings.Join(names, ", ")

	// Every way has to make the JSON of the events.
	encode := func(from, to int) {
		for i := range events[from:to] {
			if _, err := events[from+i].MarshalJSON(); err != nil {
				t.Error(err)
			}
		}
	}
	multiRow := func(tail string) func(from, to int) error {
		return func(from, to int) error {
			encode(from, to)
			var args []any
			var b strings.Builder
			fmt.Fprintf(&b, "INSERT INTO beacon_events (%s) VALUES ", list)
			for i, row := range rows[from:to] {
				if i > 0 {
					b.WriteString(", ")
				}
				for j, cell := range row {
					b.WriteString([]string{", ", "("}[max(0, 1-j)])
					fmt.Fprintf(&b, "$%d", len(args)+1)
					args = append(args, cell)
				}
				b.WriteString(")")
			}
			b.WriteString(tail)
			_, err := db.Exec(b.String(), args...)
			return err
		}
	}
	ways := []struct {
		name  string
		write func(from, to int) error
	}{
		{"Consume", func(from, to int) error { return s.Consume(ctx, events[from:to]) }},
		{"multi-row INSERT, not idempotent", multiRow("")},
		{"multi-row INSERT, ON CONFLICT", multiRow(" ON CONFLICT DO NOTHING")},
		{"COPY, then ON CONFLICT", func(from, to int) error {
			encode(from, to)
			return onPgx(db, func(c *pgx.Conn) error {
				return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
					if _, err := tx.Exec(ctx, "CREATE TEMPORARY TABLE IF NOT EXISTS incoming (LIKE beacon_events) ON COMMIT DELETE ROWS"); err != nil {
						return err
					}
					if _, err := tx.CopyFrom(ctx, pgx.Identifier{"incoming"}, names, pgx.CopyFromRows(rows[from:to])); err != nil {
						return err
					}
					_, err := tx.Exec(ctx, "INSERT INTO beacon_events SELECT * FROM incoming ON CONFLICT DO NOTHING")
					return err
				})
			})
		}},
		{"unnest by pgx", func(from, to int) error {
			encode(from, to)
			return onPgx(db, func(c *pgx.Conn) error {
				args := make([]any, len(names))
				var params []string
				for j := range names {
					switch rows[0][j].(type) {
					case int64:
						col := make([]int64, 0, to-from)
						for _, row := range rows[from:to] {
							col = append(col, row[j].(int64))
						}
						args[j] = col
						params = append(params, fmt.Sprintf("$%d::bigint[]", j+1))
					default:
						col := make([]string, 0, to-from)
						for _, row := range rows[from:to] {
							if raw, ok := row[j].(json.RawMessage); ok {
								col = append(col, string(raw))
							} else {
								col = append(col, row[j].(string))
							}
						}
						args[j] = col
						params = append(params, fmt.Sprintf("$%d::text[]", j+1))
					}
				}
				selected := strings.Replace(list, ", data,", ", data::jsonb,", 1)
				_, err := c.Exec(ctx, fmt.Sprintf("INSERT INTO beacon_events (%s) SELECT %s FROM unnest(%s) AS r(%s) ON CONFLICT DO NOTHING",
					list, selected, strings.Join(params, ", "), list), args...)
				return err
			})
		}},
	}
	rates, costs := make([][]float64, len(ways)), make([][]float64, len(ways))
	for round := range speedRounds {
		for i := range ways {
			w := (i + round) % len(ways)
			if _, err := db.Exec("TRUNCATE beacon_events"); err != nil {
				t.Fatal(err)
			}
			before := usedCPU(t, store.PostgreSQL)
			rates[w] = append(rates[w], rate(t, speedEvents, ways[w].write))
			costs[w] = append(costs[w], float64((usedCPU(t, store.PostgreSQL)-before).Microseconds())/speedEvents)
			var n int
			if err := db.QueryRow("SELECT count(*) FROM beacon_events").Scan(&n); err != nil || n != speedEvents {
				t.Fatal(ways[w].name, n, err)
			}
		}
	}
	for i, w := range ways {
		slices.Sort(rates[i])
		slices.Sort(costs[i])
		t.Logf("%-34s %8.0f events/s (%.0f to %.0f), %.1f us of CPU an event (%.1f to %.1f)", w.name, rates[i][speedRounds/2], rates[i][0], rates[i][speedRounds-1],
			costs[i][speedRounds/2], costs[i][0], costs[i][speedRounds-1])
	}
}

// usedCPU returns what this process and the server have used: on a machine that does
// something else as well, it says more than the time.
func usedCPU(t *testing.T, d store.Dialect) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	used := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	if s := stores.ServerOf(t, d); s != nil {
		used += s.CPU()
	}
	return used
}

// storedCells returns the rows of the events as drivers take them.
func storedCells(t *testing.T, db *sql.DB) (names []string, cells [][]any) {
	rows, err := db.Query("SELECT * FROM beacon_events ORDER BY received")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if names, err = rows.Columns(); err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		row := make([]any, len(names))
		into := make([]any, len(names))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		for i := range row {
			if b, ok := row[i].([]byte); ok {
				row[i] = json.RawMessage(slices.Clone(b))
			}
		}
		cells = append(cells, row)
	}
	return names, cells
}

func onPgx(db *sql.DB, fn func(*pgx.Conn) error) error {
	conn, err := db.Conn(context.Background())
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(c any) error { return fn(c.(*stdlib.Conn).Conn()) })
}

// TestSpeedOfStores measures what a beacon costs: events that tell of no page view, and
// reports of page views, of which each is another than all in its batch: an event and an
// upsert.
func TestSpeedOfStores(t *testing.T) {
	needSpeed(t)
	const views, rounds = 10_000, 4
	var told []beacon.Event
	start := time.UnixMilli(1_700_000_000_000).UTC()
	for round := range rounds {
		for i, e := range plainEvents(views) {
			e.ID, e.View = uuid(round*views+i), uuid(i)
			e.Name, e.Series, e.Seq, e.Mode = "session", "session", uint64(round+1), beacon.ModeReplace
			e.Body = beacon.JSON(fmt.Sprintf(`{"start":%d,"end":%d,"engaged":%d,"seen":%d,"ref":"https://example.com/"}`,
				start.UnixMilli(), start.UnixMilli()+int64(round)*15_000, round*5_000, round*15_000))
			told = append(told, e)
		}
	}
	plain := plainEvents(speedEvents)
	for _, d := range stores.Dialects {
		db := stores.DB(t, d)
		s := open(t, db, d, store.Options{})
		for _, c := range []struct {
			name   string
			events []beacon.Event
		}{{"events", plain}, {"the same again", plain}, {"reports of page views", told}, {"the same again", told}} {
			before := usedCPU(t, d)
			r := rate(t, len(c.events), func(from, to int) error { return s.Consume(context.Background(), c.events[from:to]) })
			t.Logf("%-10v %-22s %8.0f/s, %.1f us of CPU each", d, c.name, r, float64((usedCPU(t, d)-before).Microseconds())/float64(len(c.events)))
		}
		if n := len(storedViews(t, db)); n != views {
			t.Errorf("%d page views", n)
		}
	}
}

// TestSpeedOfClickHouse measures what size of batches does, beside bare inserts of the
// same rows in JSONEachRow, which nothing merges and no table stands behind.
func TestSpeedOfClickHouse(t *testing.T) {
	needSpeed(t)
	type row struct {
		ID       string `json:"id"`
		Received int64  `json:"received"`
		Time     int64  `json:"time"`
		Name     string `json:"name"`
		Page     string `json:"page"`
		Session  string `json:"session"`
		View     string `json:"view"`
		Data     string `json:"data"`
		Event    string `json:"event"`
	}
	for _, batch := range []int{500, 5_000, 50_000} {
		events := plainEvents(max(10_000, 2*batch))
		rates := map[string][]float64{}
		for round := range 3 {
			db := stores.DB(t, store.ClickHouse)
			s := open(t, db, store.ClickHouse, store.Options{})
			if _, err := db.Exec("CREATE TABLE bare (id String, received Int64, time Int64, name String, page String, session String, view String, " +
				"data String, event String) ENGINE = MergeTree ORDER BY (received, id)"); err != nil {
				t.Fatal(err)
			}
			ways := []struct {
				name  string
				write func(events []beacon.Event) error
			}{
				{"Store.Consume", func(events []beacon.Event) error { return s.Consume(context.Background(), events) }},
				{"bare JSONEachRow", func(events []beacon.Event) error {
					var b bytes.Buffer
					b.WriteString("INSERT INTO bare FORMAT JSONEachRow\n")
					to := json.NewEncoder(&b)
					for i := range events {
						e := &events[i]
						text, err := e.AppendJSON(nil)
						if err == nil {
							err = to.Encode(row{e.ID, e.Received.UnixMicro(), e.Time.UnixMicro(), e.Name, e.Page, e.Session, e.View,
								string(e.Body.(beacon.JSON)), string(text)})
						}
						if err != nil {
							return err
						}
					}
					return stores.Post(db, b.Bytes())
				}},
			}
			for i := range ways {
				way := ways[(i+round)%len(ways)]
				rates[way.name] = append(rates[way.name], rateOf(t, len(events), batch, func(from, to int) error { return way.write(events[from:to]) }))
			}
		}
		for name, all := range rates {
			slices.Sort(all)
			t.Logf("batches of %6d: %-18s %8.0f/s of %.0f", batch, name, all[len(all)/2], all)
		}
	}
}
