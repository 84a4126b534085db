package stores_test

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/store"
)

// A shortConn sends so many bytes as are left, and then it ends. What the server says to that
// nobody hears, but it is waited for.
type shortConn struct {
	*net.TCPConn
	left  *atomic.Int64
	cut   atomic.Bool
	heard chan struct{}
}

func (c *shortConn) Write(b []byte) (int, error) {
	left := c.left.Add(-int64(len(b)))
	if left >= 0 {
		return c.TCPConn.Write(b)
	}
	c.cut.Store(true)
	c.TCPConn.Write(b[:max(0, left+int64(len(b)))])
	c.TCPConn.CloseWrite()
	<-c.heard
	return 0, errors.New("cut off")
}

func (c *shortConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if !c.cut.Swap(false) {
		return n, err
	}
	close(c.heard)
	return 0, errors.New("cut off")
}

// TestCutInserts: of a row that was cut off nothing is stored, wherever that was. The server
// takes the end of a connection for that of the rows, and answers that all is well.
func TestCutInserts(t *testing.T) {
	driver, dsn := stores.DSN(t, store.ClickHouse)
	var left atomic.Int64
	const enough = 1 << 40
	left.Store(enough)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &shortConn{TCPConn: conn.(*net.TCPConn), left: &left, heard: make(chan struct{})}, nil
	}}}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	s, err := store.OpenClickHouse(ctx, store.ClickHouseOptions{URL: dsn, Client: client})
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, table := range []string{"events", "attrs", "page_views_state"} { // of two rows with one key one goes
		if _, err := db.Exec("SYSTEM STOP MERGES beacon_" + table); err != nil {
			t.Fatal(err)
		}
	}
	e := reports(1)[0]
	e.Attrs = map[string]string{"user": strings.Repeat("u", 100)}
	want, err := e.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	var cuts int
	for n := int64(1); ; n += 13 {
		left.Store(n)
		err := s.Consume(ctx, []beacon.Event{e})
		if err == nil {
			break
		}
		if cuts++; beacon.IsPermanent(err) || ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	left.Store(enough)
	if cuts < 100 {
		t.Fatalf("cut off %d times: too little was sent", cuts)
	}
	for _, query := range []string{
		"SELECT DISTINCT event FROM beacon_events", "SELECT DISTINCT concat(name, value, id) FROM beacon_attrs",
		"SELECT DISTINCT toString(finalizeAggregation(heard_state)) FROM beacon_page_views_state",
	} {
		rows, err := db.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				t.Fatal(err)
			}
			all = append(all, text)
		}
		if err := rows.Err(); err != nil || len(all) != 1 {
			t.Errorf("%s, after %d cuts: %q (%v), want one", query, cuts, all, err)
		}
		if strings.Contains(query, "event ") && len(all) == 1 && all[0] != string(want) {
			t.Errorf("%s", all[0])
		}
	}
}
