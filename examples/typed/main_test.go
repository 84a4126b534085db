package main

import (
	"fmt"
	"testing"

	"github.com/pagebeacon/beacon/internal/example"
)

// TestTyped: each callback gets the events of its name, with their fields.
func TestTyped(t *testing.T) {
	p := example.Start(t, ".")
	page := p.Open(p.URLs[0] + "/")
	for n, e := range [][2]string{
		{"other", `{"item":"black"}`}, {"order", `{"item":"green","pieces":2}`}, {"log", `{"msg":"I like tea"}`}, {"order", `{"item":"green","pieces":"many"}`},
	} {
		page.Send("application/json", fmt.Sprintf(`{"v":1,"m":"append","k":"k","b":"b","r":1,"sid":"s","pv":"v","ev":[{"n":%d,"t":1700000000000,"e":%q,"d":%s}]}`, n+1, e[0], e[1]))
	}
	p.Says(`^\S+ \S+ an order of 2, "green": \[\]
\S+ \S+ a message: "I like tea"
\S+ \S+ an order of 0, "green": \[beacon: field "pieces": .*"many"`)
}
