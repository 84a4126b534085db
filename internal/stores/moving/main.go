// Moving reads the access log of an endpoint that was there before, and stores what was sent
// to it as if it had just come. Formats are nginx's "combined" and what Apache has of that
// name.
//
//	go run ./moving -path /beacon -db visits.db < access.log
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"time"

	_ "modernc.org/sqlite"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/store"
)

var combined = regexp.MustCompile(`^(\S+) \S+ \S+ \[([^\]]+)\] "(\S+) (\S+)[^"]*" ([23]\d\d) \S+ "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"`)

// event is what a line of the log says. ok is false for lines of other paths, and for
// requests that were refused.
func event(line, path string) (e beacon.Event, ok bool) {
	m := combined.FindStringSubmatch(line)
	if m == nil {
		return e, false
	}
	at, err := time.Parse("02/Jan/2006:15:04:05 -0700", m[2])
	target, err2 := url.ParseRequestURI(m[4])
	if err != nil || err2 != nil || target.Path != path {
		return e, false
	}
	r := &http.Request{Method: m[3], URL: target, Header: http.Header{"Referer": {unescape(m[6])}, "User-Agent": {unescape(m[7])}}}
	events, err := beacon.Decode(r, nil, beacon.Limits{})
	if err != nil {
		return e, false
	}
	e = events[0]
	id := sha256.Sum256([]byte(line)) // so that the same line is stored once, however often it is read
	e.ID, e.Received, e.Time = hex.EncodeToString(id[:16]), at.UTC(), at.UTC()
	e.Request.ClientIP, _ = netip.ParseAddr(m[1])
	return e, true
}

// unescape undoes what servers do to quotes, backslashes and bytes that are not ASCII.
func unescape(s string) string {
	if s == "-" {
		return ""
	}
	if plain, err := strconv.Unquote(`"` + s + `"`); err == nil {
		return plain
	}
	return s
}

// read hands a log's events to a Sink, each as enrich has made it.
func read(ctx context.Context, log io.Reader, path string, to beacon.Sink, enrich func(*http.Request, *beacon.Event) error) (n int, err error) {
	var batch []beacon.Event
	flush := func() error {
		n += len(batch)
		err := to.Consume(ctx, batch)
		batch = nil
		return err
	}
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		e, ok := event(lines.Text(), path)
		if !ok || enrich(&http.Request{}, &e) != nil {
			continue
		}
		e.Request.ClientIP = netip.Addr{} // unless the privacy notice says otherwise
		if batch = append(batch, e); len(batch) == 1000 {
			if err := flush(); err != nil {
				return n, err
			}
		}
	}
	if err := flush(); err != nil {
		return n, err
	}
	return n, lines.Err()
}

func main() {
	path := flag.String("path", "/beacon", "`path` that was sent to")
	file := flag.String("db", "visits.db", "SQLite `file` to store in")
	flag.Parse()
	db, err := sql.Open("sqlite", "file:"+*file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		log.Fatal(err)
	}
	stored, err := store.Open(context.Background(), db, store.SQLite, store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	n, err := read(context.Background(), os.Stdin, *path, stored, fromBoomerang)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d events\n", n)
}
