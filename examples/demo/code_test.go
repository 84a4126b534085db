package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// TestCode: beside an event is the function that got it, as it is in the file, at its line.
func TestCode(t *testing.T) {
	file, err := os.ReadFile("got.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(file), "\n")
	d, h, out := start(t)
	for i, tt := range []struct {
		name string
		body beacon.Body
		log  string
	}{
		{"gotPageView", report("mine", "one", 1, time.Now(), 5, 4), ""},
		{"gotLog", beacon.JSON(`{"v":1,"m":"append","k":"l:one","b":"b9","r":1,"sid":"mine","pv":"one","page":"http://localhost/","at":1700000000000,` +
			`"ev":[{"n":1,"t":1700000000000,"e":"log","d":{"msg":"saved"}}]}`), "Tracking info: saved"},
		{"gotSession", session("1700000000000", "1700000012340", "clicked"), "In session for: 12.34 seconds"},
		{"gotSession", session("noon", "1700000012340", "clicked"), "Session not readable: "},
		{"gotForm", beacon.Form{{Name: "a", Value: "1"}, {Name: "a", Value: "2"}}, `, 2 fields`},
		{"gotText", beacon.Text("hello"), `, 5 bytes`},
		{"gotJSON", beacon.JSON(`{"msg":"hi\n"}`), `, 14 bytes`},
		{"gotJSON", beacon.JSON(`[1]`), `, 3 bytes`},
		{"gotBinary", beacon.Binary{Type: "image/png", Data: []byte{1, 2}}, `, 2 bytes of "image/png"`},
		{"gotNoData", beacon.Empty{}, `, 0 fields in the query`},
		{"gotPing", beacon.Ping{To: "http://example.com/"}, `, to "http://example.com/"`},
		{"gotReport", beacon.Report{Type: "crash", URL: "http://example.com/", Body: []byte("{}")}, `, about "http://example.com/"`},
	} {
		t.Run(fmt.Sprint(tt.name, " ", tt.body.Kind()), func(t *testing.T) {
			out.Reset()
			send(h, beacontest.NewRequest(endpoint, tt.body))
			stored(t, d)
			var v visited
			get(t, h, fmt.Sprint("/api/visit?after=", i), &v)
			if len(v.Came) != 1 || v.Taken != uint64(i+1) {
				t.Fatalf("%+v", v)
			}
			got := v.Came[0].Code
			var line int
			if _, err := fmt.Sscanf(got.At, "got.go:%d", &line); err != nil || line < 1 || line >= len(lines) {
				t.Fatalf("it is at %q", got.At)
			}
			first, _, _ := strings.Cut(got.Text, "\n")
			if lines[line-1] != first || !strings.HasPrefix(first, "func "+tt.name+"(e beacon.Event)") {
				t.Errorf("line %d of the file is %q, what is shown %q", line, lines[line-1], first)
			}
			if !strings.Contains(string(file), strings.ReplaceAll(got.Text, "    ", "\t")+"\n") {
				t.Errorf("not in the file:\n%s", got.Text)
			}
			// Of page views the log has the sessions.
			if !strings.Contains(out.String(), tt.log) || strings.Contains(out.String(), "Page view") {
				t.Errorf("the log says %q, want %q", out, tt.log)
			}
			does, _ := json.Marshal(strings.TrimSpace(lines[line]))
			if shown, want := streamed(t, h), `"n":"`+got.At+`","v":`+strings.TrimSuffix(string(does), `"`); !strings.Contains(shown, want) {
				t.Errorf("the live page is without %s:\n%s", want, shown)
			}
			for _, event := range d.recent.all() {
				if strings.Contains(string(event), got.At) {
					t.Errorf("stored with it: %s", event)
				}
			}
		})
	}
}
