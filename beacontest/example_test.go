package beacontest_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/sink"
)

// A test in Go: the handler with a sink that remembers, and a request as a browser
// sends it.
func Example() {
	var events beacontest.Recorder
	h, err := beacon.New(beacon.Config{Sink: &events})
	if err != nil {
		log.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, beacontest.NewRequest("/_pb", beacon.Form{{Name: "msg", Value: "saved"}}))
	fmt.Println(w.Code, events.Events()[0].Body.(beacon.Form).Get("msg"))
	// Output:
	// 204 saved
}

// The client's events have names, and bodies that are between it and the handler. A Sink
// that goes by names gets them as the handler would hand them over.
func Example_named() {
	type added struct {
		Msg string `json:"msg"`
		SKU string `json:"sku"`
		Qty int    `json:"qty"`
	}
	carts := sink.ByName(map[string]beacon.Sink{"log": beacon.On(func(_ context.Context, e beacon.Event, a added) error {
		fmt.Println(a.Msg, a.SKU, a.Qty, e.Errors)
		return nil
	})}, nil)
	// beacon.log("add-to-cart", {sku: "A-1", qty: 2})
	e := beacon.Event{ID: "1", Name: "log", Body: beacon.JSON(`{"msg": "add-to-cart", "sku": "A-1", "qty": 2}`)}
	err := carts.Consume(context.Background(), []beacon.Event{e})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// add-to-cart A-1 2 []
}

// What others send is waited for. If it does not come the error says what did.
func ExampleRecorder_Wait() {
	var events beacontest.Recorder
	h, err := beacon.New(beacon.Config{Sink: &events})
	if err != nil {
		log.Fatal(err)
	}
	go h.ServeHTTP(httptest.NewRecorder(), beacontest.NewRequest("/_pb", beacon.Text("left")))

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	isText := func(e beacon.Event) bool { return e.Body.Kind() == "text" }
	left, err := events.Wait(ctx, 1, isText)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(left[0].Body)

	ctx, cancel = context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, err = events.Wait(ctx, 2, isText)
	fmt.Println(err)
	// Output:
	// left
	// beacontest: 1 of 2 events came: context deadline exceeded; others: none
}
