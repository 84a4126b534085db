package connect_test

import (
	"fmt"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
)

// What stands beside an event in a log, for readers that know CloudEvents and not this
// library.
func ExampleHeader() {
	e := beacon.Event{ID: "1", Session: "Zoë", Body: beacon.Empty{}, Request: beacon.Request{Host: "example.com", Path: "/_pb"}}
	fmt.Println("key:", connect.Key(&e))
	for _, h := range connect.Headers(&e) {
		fmt.Println("ce-"+h.Name, h.Encoded())
	}
	// Output:
	// key: Zoë
	// ce-specversion 1.0
	// ce-id 1
	// ce-source //example.com/_pb
	// ce-type com.github.pagebeacon.beacon.v1
	// ce-datacontenttype application/json
	// ce-subject Zo%C3%AB
}
