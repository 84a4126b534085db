package beacon_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/client"
)

var (
	pageKey  = []byte("a key of the page's server")
	otherKey = []byte("a key that the server has not")
)

// enveloped is a body of the browser client's, with more of it than one event.
func enveloped(token string) beacon.Text {
	return beacon.Text(`{"v":1,"m":"append","tok":"` + token + `","k":"k","pv":"v","ev":[{"n":1,"d":1},{"n":2}]}`)
}

// TestPageTokens: whatever way a token comes, all events of its request are verified,
// and no event has it.
func TestPageTokens(t *testing.T) {
	good := newHandler(t, beacon.Config{Sink: nowhere, TokenKeys: [][]byte{pageKey}}).Token()
	old := newHandler(t, beacon.Config{Sink: nowhere, TokenKeys: [][]byte{otherKey}}).Token()
	post := func(target, typ, body string) *http.Request {
		r := httptest.NewRequest("POST", target, strings.NewReader(body))
		r.Header.Set("Content-Type", typ)
		return r
	}
	for name, tt := range map[string]struct {
		r     *http.Request
		valid bool
		query beacon.Form
	}{
		"an envelope":                 {beacontest.NewRequest("/b", enveloped(good)), true, nil},
		"an envelope, compressed":     {post("/b", "text/plain", zipped(t, string(enveloped(good)))), true, nil},
		"an envelope with a bad one":  {beacontest.NewRequest("/b", enveloped(good[:len(good)-1])), false, nil},
		"an envelope with another's":  {beacontest.NewRequest("/b", enveloped(old)), false, nil},
		"an envelope with a number":   {beacontest.NewRequest("/b", beacon.Text(strings.Replace(string(enveloped("7")), `"7"`, "7", 1))), false, nil},
		"an envelope with an object":  {beacontest.NewRequest("/b", beacon.Text(strings.Replace(string(enveloped("")), `""`, `{"tok":"`+good+`"}`, 1))), false, nil},
		"an item that has one":        {beacontest.NewRequest("/b", beacon.Text(`{"v":1,"m":"append","k":"k","ev":[{"n":1,"d":{"tok":"`+good+`"}}]}`)), false, nil},
		"a page's own object":         {beacontest.NewRequest("/b", beacon.Text(`{"tok":"`+good+`"}`)), false, nil},
		"an envelope, and the query":  {beacontest.NewRequest("/b?_t="+good, enveloped("")), true, nil},
		"the query, and the envelope": {beacontest.NewRequest("/b?_t=v1.0.x", enveloped(good)), true, nil},
		"the query of a form":         {beacontest.NewRequest("/b?_t="+good, beacon.Form{{Name: "_t", Value: "kept"}}), true, nil},
		"the query of a batch":        {post("/b?a=1&_t="+good+"&b=2", "application/x-ndjson", "1\n2\n3"), true, beacon.Form{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}}},
		"a pixel":                     {httptest.NewRequest("GET", "/b?e=1&_t="+good, nil), true, beacon.Form{{Name: "e", Value: "1"}}},
		"a pixel, escaped":            {httptest.NewRequest("GET", "/b?%5ft="+strings.ReplaceAll(good, ".", "%2e"), nil), true, nil},
		"the ping of a link":          {beacontest.NewRequest("/b?_t="+good, beacon.Ping{To: "https://own.example/"}), true, nil},
		"a report":                    {beacontest.NewRequest("/b?_t="+good, beacon.Report{Type: "crash", URL: "https://own.example/"}), true, nil},
		"a forged pixel":              {httptest.NewRequest("GET", "/b?_t="+strings.ToUpper(good), nil), false, nil},
		"a pixel of another key":      {httptest.NewRequest("GET", "/b?_t="+old+"&e=1", nil), false, beacon.Form{{Name: "e", Value: "1"}}},
		"a second parameter":          {httptest.NewRequest("GET", "/b?_t=x&_t="+good, nil), false, nil},
		"a very long one":             {httptest.NewRequest("GET", "/b?_t="+strings.Repeat("x", 200), nil), false, beacon.Form{{Name: "_t", Value: strings.Repeat("x", 200)}}},
		"a field of the form":         {beacontest.NewRequest("/b", beacon.Form{{Name: "_t", Value: good}}), false, nil},
		"nothing":                     {beacontest.NewRequest("/b", beacon.Text("x")), false, nil},
	} {
		for _, required := range []bool{false, true} {
			var rec beacontest.Recorder
			var refused []string
			h := newHandler(t, beacon.Config{
				Sink: &rec, TokenKeys: [][]byte{pageKey}, RequireToken: required,
				OnRefused: func(_ *http.Request, _ []byte, why *beacon.RequestError) { refused = append(refused, why.Reason) },
			})
			res := serve(h, again(t, tt.r))
			if required && !tt.valid {
				if res.StatusCode != 403 || res.Header.Get("Beacon-Refused") != "token" || len(rec.Events()) > 0 ||
					h.Stats().Refused["token"] != 1 || !cmp.Equal(refused, []string{"token"}) {
					t.Errorf("%s: %d, %+v, %v", name, res.StatusCode, h.Stats(), refused)
				}
				continue
			}
			if res.StatusCode/100 != 2 || len(rec.Events()) == 0 {
				t.Errorf("%s: %d", name, res.StatusCode)
			}
			for _, e := range rec.Events() {
				if diff := cmp.Diff(tt.query, e.Query); e.Verified != tt.valid || diff != "" {
					t.Errorf("%s: verified %v, query (-want +got)\n%s", name, e.Verified, diff)
				}
				if form, ok := e.Body.(beacon.Form); ok && form.Get("_t") == "" {
					t.Errorf("%s: a field of the body is gone", name)
				}
			}
		}
	}
}

func zipped(t *testing.T, s string) string {
	t.Helper()
	var out strings.Builder
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// again returns a copy of r, and leaves r to be sent once more.
func again(t *testing.T, r *http.Request) *http.Request {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	next := r.Clone(t.Context())
	next.Body = io.NopCloser(bytes.NewReader(body))
	return next
}

// TestTokenTime: two days, on the clock of the server; and the keys of a change.
func TestTokenTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		verified := func(token string, keys ...[]byte) bool {
			var rec beacontest.Recorder
			serve(newHandler(t, beacon.Config{Sink: &rec, TokenKeys: keys}), httptest.NewRequest("GET", "/b?_t="+token, nil))
			return rec.Events()[0].Verified
		}
		before := newHandler(t, beacon.Config{Sink: nowhere, TokenKeys: [][]byte{otherKey}})
		after := newHandler(t, beacon.Config{Sink: nowhere, TokenKeys: [][]byte{pageKey, otherKey}})
		token := before.Token()
		time.Sleep(48 * time.Hour)
		if !verified(token, pageKey, otherKey) || verified(token, pageKey) || !verified(after.Token(), pageKey) || verified(after.Token(), otherKey) {
			t.Error("a change of keys")
		}
		time.Sleep(time.Hour)
		if verified(token, otherKey) || !verified(before.Token(), otherKey) {
			t.Error("a token is valid for ever, or not at all")
		}
	})
}

// TestTokenOfCapture: a route of the host's own is held to it too, and preflights, which
// can carry none, are not.
func TestTokenOfCapture(t *testing.T) {
	h := newHandler(t, beacon.Config{Sink: nowhere, TokenKeys: [][]byte{pageKey}, RequireToken: true, Origins: []string{"https://app.example"}})
	called := 0
	route := h.Capture(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called++ }))
	if got := serve(route, beacontest.NewRequest("/b", beacon.Text("x"))).StatusCode; got != 403 || called != 0 {
		t.Errorf("without: %d, called %d", got, called)
	}
	if got := serve(route, beacontest.NewRequest("/b?_t="+h.Token(), beacon.Text("x"))).StatusCode; got != 200 || called != 1 {
		t.Errorf("with: %d, called %d", got, called)
	}
	for _, way := range []http.Handler{h, route} {
		if got := serve(way, options("https://app.example", "POST", "content-type")).StatusCode; got != 204 {
			t.Errorf("preflight: %d", got)
		}
	}
}

// TestNoTokenKeys: the parameter is the page's then.
func TestNoTokenKeys(t *testing.T) {
	var rec beacontest.Recorder
	h := newHandler(t, beacon.Config{Sink: &rec})
	if token := h.Token(); token != "" {
		t.Errorf("a token without a key: %s", token)
	}
	serve(h, httptest.NewRequest("GET", "/b?_t=1700000000", nil))
	serve(h, beacontest.NewRequest("/b", enveloped("v1.0.x")))
	if got := rec.Events()[0].Query.Get("_t"); got != "1700000000" {
		t.Errorf("_t is %q", got)
	}
	for _, e := range rec.Events() {
		if e.Verified || len(e.Errors) > 0 {
			t.Errorf("%+v", e)
		}
	}
}

func TestTokenInTag(t *testing.T) {
	h := newHandler(t, beacon.Config{Sink: nowhere, TokenKeys: [][]byte{pageKey}})
	if tag := string(h.ScriptTag(client.Tag{})); !strings.Contains(tag, ` data-token="`+h.Token()+`" `) {
		t.Error(tag)
	}
	if tag := string(h.ScriptTag(client.Tag{Token: "another's"})); !strings.Contains(tag, ` data-token="another&#39;s" `) {
		t.Error(tag)
	}
}

func TestTokenKeyMistakes(t *testing.T) {
	for want, c := range map[string]beacon.Config{
		"TokenKeys[1] has 15 bytes, and needs 16": {Sink: nowhere, TokenKeys: [][]byte{pageKey, make([]byte, 15)}},
		"TokenKeys[0] has 0 bytes, and needs 16":  {Sink: nowhere, TokenKeys: [][]byte{nil}},
		"RequireToken needs TokenKeys":            {Sink: nowhere, RequireToken: true},
	} {
		if _, err := beacon.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
