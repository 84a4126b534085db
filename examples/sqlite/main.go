// Sqlite keeps visits in a file of your own, beacon.db. Start it with go run . here, open
// http://localhost:8080/, stay a while, close the tab, and open it again: there you are.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/client"
	"github.com/pagebeacon/beacon/store"
	_ "modernc.org/sqlite"
)

func main() {
	db := must(sql.Open("sqlite", "file:beacon.db?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)"))
	visits := must(store.Open(context.Background(), db, store.SQLite, store.Options{}))
	h := must(beacon.New(beacon.Config{Sink: visits}))
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "<!doctype html><title>Visits</title>%s", h.ScriptTag(client.Tag{}))
		for _, s := range must(visits.Sessions(r.Context(), store.Query{Newest: true, Limit: 100})) {
			fmt.Fprintf(w, "<p>%v: here for %v, engaged for %v, pages: %d", s.Start.Format(time.DateTime), s.Elapsed(), s.Engaged, s.Views)
		}
	})
	server := &http.Server{Addr: "localhost:8080", Handler: h.Middleware(http.DefaultServeMux),
		ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	log.Fatal(server.ListenAndServe())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // in a handler it fails that one request
	}
	return v
}
