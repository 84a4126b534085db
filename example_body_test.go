package beacon_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// What a page can send, and what it is on the server.
func ExampleBody() {
	h, err := beacon.New(beacon.Config{Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		for _, e := range events {
			switch b := e.Body.(type) {
			case beacon.Empty:
				fmt.Println("nothing, or a pixel with a query:", e.Query.Get("page"))
			case beacon.Text:
				fmt.Println("a string:", b)
			case beacon.JSON:
				fmt.Println("JSON:", b)
			case beacon.Form:
				fmt.Println("a form:", b.Get("msg"), b.Values("tag"))
			case beacon.Binary:
				fmt.Println("bytes:", b.Type, len(b.Data))
			case beacon.Ping:
				fmt.Println("a link was followed:", b.From, "to", b.To)
			case beacon.Report:
				fmt.Println("the browser reports:", b.Type, b.URL, string(b.Body))
			}
		}
		return nil
	})})
	if err != nil {
		log.Fatal(err)
	}
	for _, body := range []beacon.Body{
		beacon.Text("hello"),
		beacon.JSON(`{"lcp":1234.5}`),
		beacon.Form{{Name: "msg", Value: "saved"}, {Name: "tag", Value: "a"}, {Name: "tag", Value: "b"}},
		beacon.Binary{Type: "image/png", Data: []byte{137, 'P', 'N', 'G'}},
		beacon.Ping{From: "https://example.com/a", To: "https://example.org/b"},
		beacon.Report{Type: "deprecation", URL: "https://example.com/", Body: json.RawMessage(`{"id":"websql"}`)},
	} {
		send(h, beacontest.NewRequest("/", body))
	}
	send(h, httptest.NewRequest("GET", "/?page=home", nil))
	// Output:
	// a string: hello
	// JSON: {"lcp":1234.5}
	// a form: saved [a b]
	// bytes: image/png 4
	// a link was followed: https://example.com/a to https://example.org/b
	// the browser reports: deprecation https://example.com/ {"id":"websql"}
	// nothing, or a pixel with a query: home
}

// A form with a screenshot. The name and the type are the client's word: look at neither
// before you store it under a name of your own.
func ExampleFile() {
	h, err := beacon.New(beacon.Config{Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		form, _ := events[0].Body.(beacon.Form)
		if shot := form.File("shot"); shot != nil {
			fmt.Printf("%q, %q, %d bytes, %s\n", shot.Name, shot.Type, len(shot.Data), http.DetectContentType(shot.Data))
		}
		return nil
	})})
	if err != nil {
		log.Fatal(err)
	}
	send(h, beacontest.NewRequest("/", beacon.Form{
		{Name: "shot", File: &beacon.File{Name: "../../shot.png", Type: "image/png", Data: []byte("GIF89a")}},
	}))
	// Output: "../../shot.png", "image/png", 6 bytes, image/gif
}

// What does not fit a type is told beside the event, and costs no other field.
func ExampleFieldError() {
	type order struct {
		Item   string `json:"item"`
		Pieces int    `json:"pieces"`
	}
	h, err := beacon.New(beacon.Config{Sink: beacon.On(func(_ context.Context, e beacon.Event, o order) error {
		fmt.Printf("%+v\n", o)
		for _, wrong := range e.Errors {
			fmt.Printf("%s: %s (%s)\n", wrong.Key, wrong.Reason, wrong.Value)
		}
		return nil
	})})
	if err != nil {
		log.Fatal(err)
	}
	send(h, beacontest.NewRequest("/", beacon.JSON(`{"item":"green tea","pieces":"many"}`)))
	// Output:
	// {Item:green tea Pieces:0}
	// pieces: is not an int (many)
}

// Requests that were kept elsewhere, in the log of an old pixel for example, are read as a
// Handler does.
func ExampleDecode() {
	for _, line := range []string{"/pixel.gif?page=%2Fhome&t=2.5", "/pixel.gif?page=%2F" + strings.Repeat("x", 100)} {
		r := httptest.NewRequest("GET", line, nil)
		events, err := beacon.Decode(r, nil, beacon.Limits{MaxQuery: 64, MaxAge: 400 * 24 * time.Hour})
		if refused, ok := errors.AsType[*beacon.RequestError](err); ok {
			fmt.Println(refused.Status, refused.Reason)
			continue
		}
		fmt.Println(events[0].Query.Get("page"), events[0].Query.Get("t"))
	}
	// Output:
	// /home 2.5
	// 413 query-too-large
}
