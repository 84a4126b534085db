package connect_test

import (
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
)

// Headers say what the CloudEvent in JSON says.
func TestHeadersAreThoseOfTheCloudEvent(t *testing.T) {
	at := time.Date(2026, 11, 22, 4, 0, 0, 123000000, time.UTC)
	for name, e := range map[string]beacon.Event{
		"all": {
			ID: "view.1", Session: "s", View: "v", Time: at, Received: at, Body: beacon.Empty{},
			Request: beacon.Request{Origin: "https://example.org", Host: "h", Path: "/beacon"},
		},
		"little":   {ID: "1", Body: beacon.Empty{}},
		"port":     {ID: "1", Time: at.Truncate(time.Second), Body: beacon.Empty{}, Request: beacon.Request{Origin: "http://localhost:8080", Path: "/a b"}},
		"opaque":   {ID: "1", Body: beacon.Empty{}, Request: beacon.Request{Origin: "null", Host: "example.org", Path: "/%"}},
		"no UTF-8": {ID: "\xff", Session: "a\x00\xfe\r\nb", Body: beacon.Empty{}},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := e.MarshalCloudEvent()
			if err != nil {
				t.Fatal(err)
			}
			var all map[string]any
			if err := json.Unmarshal(text, &all); err != nil {
				t.Fatal(err)
			}
			delete(all, "data")
			delete(all, "partitionkey") // an extension, whose place here is the message's key
			got := map[string]any{}
			for _, h := range connect.Headers(&e) {
				got[h.Name] = h.Value
			}
			if d := cmp.Diff(all, got); d != "" {
				t.Error(d)
			}
		})
	}
	if h := connect.Headers(&beacon.Event{}); h != nil {
		t.Error("without an ID:", h)
	}
}

func TestHeaderEncoded(t *testing.T) {
	for value, want := range map[string]string{
		"":                       "",
		"plain-._~/:?#[]@!$&'()": "plain-._~/:?#[]@!$&'()",
		"a b":                    "a%20b",
		"Euro € 😀":               "Euro%20%E2%82%AC%20%F0%9F%98%80", // the specification's own
		"\"100%\"\r\nx: y\x00":   "%22100%25%22%0D%0Ax:%20y%00",
	} {
		got := connect.Header{Value: value}.Encoded()
		if got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
		if back, err := url.PathUnescape(got); err != nil || back != value {
			t.Errorf("%q comes back as %q, %v", value, back, err)
		}
	}
}

func TestKey(t *testing.T) {
	for want, e := range map[string]beacon.Event{
		"s": {Session: "s", View: "v"}, "v": {View: "v"}, "": {ID: "1"},
	} {
		if got := connect.Key(&e); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
