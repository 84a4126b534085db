// Typed gets events as Go types, by their names. Start it with go run ./examples/typed, open
// http://localhost:8080/, and click; page.go has the page, with the lines that send.
package main

import (
	"context"
	"log"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sink"
)

type order struct {
	Item   string `json:"item"`
	Pieces int    `json:"pieces"`
}

type message struct {
	Msg string `json:"msg"`
}

func main() {
	h, err := beacon.New(beacon.Config{Sink: sink.ByName(map[string]beacon.Sink{
		"order": beacon.On(func(_ context.Context, e beacon.Event, o order) error {
			log.Printf("an order of %d, %q: %v", o.Pieces, o.Item, e.Errors)
			return nil
		}),
		"log": beacon.On(func(_ context.Context, e beacon.Event, m message) error {
			log.Printf("a message: %q", m.Msg)
			return nil
		}),
	}, nil)}) // nil: events of other names are dropped
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(serve(h))
}
