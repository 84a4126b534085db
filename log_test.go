package beacon_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// obeyed is what a terminal obeys, or fools a reader.
const obeyed = "\x1b[2J\x7f\u009b31m\u202eexe.\u2066"

// TestNothingOfAClientIsObeyed: neither in a log, whose handler for JSON escapes no more
// than JSON wants, nor in an answer. A store's error, a panic, and a reason of the host's
// may all quote the client.
func TestNothingOfAClientIsObeyed(t *testing.T) {
	failing := func(err error) beacon.Config {
		return beacon.Config{Sink: beacon.SinkFunc(func(context.Context, []beacon.Event) error { return err })}
	}
	for name, tt := range map[string]struct {
		c beacon.Config
		r *http.Request
	}{
		"the store's error": {failing(errors.New("invalid input: " + obeyed)), beacontest.NewRequest("/b", beacon.Text("x"))},
		"the reason":        {failing(&beacon.RequestError{Status: 403, Reason: "no " + obeyed}), beacontest.NewRequest("/b", beacon.Text("x"))},
		"a panic": {beacon.Config{Sink: beacon.SinkFunc(func(context.Context, []beacon.Event) error { panic(obeyed) })},
			beacontest.NewRequest("/b", beacon.Text("x"))},
		"a panic of Answer": {beacon.Config{Sink: nowhere, Answer: func(http.ResponseWriter, *http.Request) { panic(obeyed) }},
			beacontest.NewRequest("/b", beacon.Text("x"))},
		"the method": {beacon.Config{Sink: nowhere}, &http.Request{Method: "P" + obeyed}},
		"the host":   {beacon.Config{Sink: nowhere, Hosts: []string{"own.example"}}, &http.Request{Method: "GET", Host: obeyed}},
		"the origin": {beacon.Config{Sink: nowhere}, &http.Request{Method: "POST", Header: http.Header{"Origin": {"https://" + obeyed}}}},
		"the referer": {beacon.Config{Sink: nowhere}, &http.Request{Method: "GET", Header: http.Header{
			"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}, "Referer": {obeyed}}}},
		"the parts of a body": {beacon.Config{Sink: nowhere}, beacontest.NewRequest("/b", beacon.Binary{
			Type: "multipart/form-data; boundary=x", Data: []byte("--x\r\nContent-" + obeyed + "\r\n\r\n" + obeyed + "--x")})},
		"the coding": {beacon.Config{Sink: nowhere}, func() *http.Request {
			r := httptest.NewRequest("POST", "/b", strings.NewReader("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"+obeyed))
			r.Header.Set("Content-Encoding", "gzip")
			return r
		}()},
	} {
		if tt.r.URL == nil {
			plain := httptest.NewRequest("GET", "/b", nil)
			plain.Method, plain.Host, plain.Header = tt.r.Method, tt.r.Host, tt.r.Header
			tt.r = plain
		}
		var logged bytes.Buffer
		tt.c.Logger = slog.New(slog.NewJSONHandler(&logged, nil))
		res := serve(newHandler(t, tt.c), tt.r)
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		for where, text := range map[string]string{"log": logged.String(), "header": res.Header.Get("Beacon-Refused"), "answer": string(body)} {
			if strings.ContainsAny(text, obeyed[:1]+"\x7f\u009b\u202e\u2066") || text == "" && where == "log" {
				t.Errorf("%s, %s: %q", name, where, text)
			}
		}
	}
}

// TestLoggedErrorIsTheStores: a handler of the host's can still ask what it is.
func TestLoggedErrorIsTheStores(t *testing.T) {
	broken := errors.New("broken \x1b")
	var got error
	h := newHandler(t, beacon.Config{
		Sink: beacon.SinkFunc(func(context.Context, []beacon.Event) error { return broken }),
		Logger: slog.New(attrs(func(a slog.Attr) {
			if err, ok := a.Value.Any().(error); ok {
				got = err
			}
		})),
	})
	serve(h, beacontest.NewRequest("/b", beacon.Text("x")))
	if !errors.Is(got, broken) || got.Error() != `broken \x1b` {
		t.Errorf("%q", got)
	}
}

// attrs is a slog.Handler that looks at attributes.
type attrs func(slog.Attr)

func (attrs) Enabled(context.Context, slog.Level) bool { return true }
func (f attrs) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool { f(a); return true })
	return nil
}
func (f attrs) WithAttrs([]slog.Attr) slog.Handler { return f }
func (f attrs) WithGroup(string) slog.Handler      { return f }
