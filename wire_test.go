package beacon_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// A capture is what testdata/wire says about one case: what the page handed to
// the browser, and the requests that came of it.
type capture struct {
	Engine, Case string
	Expect       struct {
		API         string
		ContentType string `json:"content_type"`
		Logical     *struct {
			Kind    string
			Text    string
			B64     string
			Byte    string
			N       int
			Raw     string
			Entries []json.RawMessage
		}
	}
	Requests []struct {
		Kind, File, Method, Target string
		ContentType                *string `json:"content_type"`
	}
}

func captures(t testing.TB) []capture {
	t.Helper()
	files, err := filepath.Glob("testdata/wire/*/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	list := make([]capture, len(files))
	for i, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &list[i]); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
	}
	return list
}

// rawRequest reads a captured request. One whose body was too large to keep has
// only a head, and gets its body from fill.
func rawRequest(t testing.TB, engine, file, fill string) *http.Request {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata/wire", engine, file))
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(bytes.NewReader(b), strings.NewReader(fill))))
	if err != nil {
		t.Fatalf("%s/%s: %v", engine, file, err)
	}
	r.RemoteAddr = "192.0.2.1:1234"
	return r
}

// TestWire sends every captured request through a Handler and compares what
// arrives with what the page had sent.
func TestWire(t *testing.T) {
	requests := 0
	for _, c := range captures(t) {
		t.Run(c.Engine+"/"+c.Case, func(t *testing.T) {
			for _, q := range c.Requests {
				if q.File == "" {
					continue
				}
				requests++
				var got beacontest.Recorder
				h, err := beacon.New(beacon.Config{
					Sink: &got, AnyOrigin: true, Methods: []string{"PUT", "patch"}, MaxBody: 16 << 20,
				})
				if err != nil {
					t.Fatal(err)
				}
				fill := ""
				if l := c.Expect.Logical; l != nil && l.Kind == "fill" {
					fill = strings.Repeat(l.Byte, l.N)
				} else if strings.HasSuffix(q.File, ".head") {
					continue // its body was not kept
				}
				r := rawRequest(t, c.Engine, q.File, fill)
				if r.Header.Get("Origin") == "null" {
					r.Header.Del("Origin") // whose it is, is not what this test is about
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				want := http.StatusNoContent
				if c.isImage() && q.Kind != "preflight" || w.Code == http.StatusOK && strings.HasSuffix(c.Case, "r302") {
					want = http.StatusOK
				}
				if w.Code != want {
					t.Fatalf("%s: status %d %s, want %d", q.File, w.Code, w.Body, want)
				}
				if q.Kind == "preflight" {
					if n := len(got.Events()); n != 0 {
						t.Errorf("%s: preflight made %d events", q.File, n)
					}
					continue
				}
				checkCapture(t, c, r, got.Events())
			}
		})
	}
	if requests < 700 {
		t.Errorf("only %d requests read", requests)
	}
}

func (c capture) isImage() bool {
	return c.Expect.API == "Image.src" || c.Expect.API == "img" || strings.HasPrefix(c.Case, "img-")
}

func checkCapture(t *testing.T, c capture, r *http.Request, got []beacon.Event) {
	t.Helper()
	if len(got) == 0 {
		t.Fatal("no event")
	}
	for _, e := range got {
		if e.ID == "" || e.Time.IsZero() || e.Received.IsZero() || e.Body == nil {
			t.Errorf("event without ID, Time, Received or Body: %+v", e)
		}
		roundTrip(t, e)
	}
	e := got[0]
	if want := r.Header.Get("Content-Type"); e.Request.ContentType != want {
		t.Errorf("content type %q, want %q", e.Request.ContentType, want)
	}
	l := c.Expect.Logical
	if l == nil || r.Method == http.MethodGet { // a report, or the GET that a 302 made of it
		if r.Method == http.MethodGet {
			if _, ok := e.Body.(beacon.Empty); !ok {
				t.Errorf("GET body is %T", e.Body)
			}
			if l != nil && l.Kind == "query" {
				checkQuery(t, l.Raw, r, e)
			}
		}
		return
	}
	switch l.Kind {
	case "none":
		if _, ok := e.Body.(beacon.Empty); !ok && c.Case != "beacon-stream-so" {
			t.Errorf("body is %T, want Empty", e.Body)
		}
	case "text", "fill", "bytes":
		want := []byte(l.Text)
		if l.Kind == "fill" {
			want = []byte(strings.Repeat(l.Byte, l.N))
		} else if l.B64 != "" {
			var err error
			if want, err = base64.StdEncoding.DecodeString(l.B64); err != nil {
				t.Fatal(err)
			}
		}
		checkBytes(t, c, want, got)
	case "formdata":
		checkFormData(t, c, l.Entries, e)
	case "urlencoded":
		want := beacon.Form{}
		for _, raw := range l.Entries {
			var pair [2]string
			if err := json.Unmarshal(raw, &pair); err != nil {
				t.Fatal(err)
			}
			want = append(want, beacon.Field{Name: pair[0], Value: pair[1]})
		}
		if diff := cmp.Diff(beacon.Body(want), e.Body, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("entry list (-want +got)\n%s", diff)
		}
	case "query":
		if strings.Contains(c.Case, "latin1page") {
			// é in windows-1252; characters it has not as references.
			if v := e.Query.Get("q"); v != "\xe9\x80&#26085;" && v != "é€日" {
				t.Errorf("query %v", e.Query)
			}
		}
	default:
		t.Fatalf("unknown kind %q", l.Kind)
	}
}

func checkQuery(t *testing.T, raw string, r *http.Request, e beacon.Event) {
	t.Helper()
	if r.URL.RawQuery == "" && e.Query != nil || r.URL.RawQuery != "" && len(e.Query) == 0 {
		t.Errorf("query %q decoded to %v", r.URL.RawQuery, e.Query)
	}
	if raw == "?e=1" {
		if want := (beacon.Form{{Name: "e", Value: "1"}}); !cmp.Equal(e.Query, want) {
			t.Errorf("query %v, want %v", e.Query, want)
		}
	}
}

// bodyBytes is what of an event's body the page had given as bytes or text.
func bodyBytes(t *testing.T, b beacon.Body) (data []byte, kind string) {
	switch b := b.(type) {
	case beacon.Empty:
		return nil, "empty"
	case beacon.Text:
		return []byte(b), "text"
	case beacon.JSON:
		return b, "json"
	case beacon.Binary:
		return b.Data, "binary"
	case beacon.Ping:
		return []byte("PING"), "ping"
	case beacon.Form:
		return nil, "form"
	}
	t.Fatalf("body is %T", b)
	return nil, ""
}

func checkBytes(t *testing.T, c capture, want []byte, got []beacon.Event) {
	t.Helper()
	e := got[0]
	if strings.Contains(e.Request.ContentType, "ndjson") {
		var all []byte
		for _, e := range got {
			b, kind := bodyBytes(t, e.Body)
			if kind != "json" {
				t.Errorf("line is %s", kind)
			}
			all = append(append(all, b...), '\n')
		}
		if string(all) != string(want) {
			t.Errorf("lines %q, want %q", all, want)
		}
		return
	}
	data, kind := bodyBytes(t, e.Body)
	if kind == "form" { // a Blob that is a multipart body
		if !cmp.Equal(e.Body, beacon.Body(beacon.Form{{Name: "a", Value: "1"}})) {
			t.Errorf("form %v", e.Body)
		}
		return
	}
	wantKind := "binary"
	switch {
	case len(want) == 0:
		wantKind = "empty"
	case c.Expect.API == "a[ping]":
		wantKind = "ping"
	case want[0] == '{' || want[0] == '[':
		wantKind = "json"
	case strings.HasPrefix(e.Request.ContentType, "text/"):
		wantKind = "text"
	}
	if plain := gunzip(want); plain != nil {
		want, wantKind = plain, "json"
		if e.Request.Encoding == "" {
			t.Error("no Encoding on a body that was inflated")
		}
	}
	if kind != wantKind {
		t.Errorf("body is %s, want %s", kind, wantKind)
	}
	if !bytes.Equal(data, want) {
		t.Errorf("body %q, want %q", data, want)
	}
}

func gunzip(b []byte) []byte {
	var r io.Reader
	var err error
	if r, err = gzip.NewReader(bytes.NewReader(b)); err != nil {
		if r, err = zlib.NewReader(bytes.NewReader(b)); err != nil {
			return nil
		}
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil
	}
	return plain
}

// crlf is what browsers do to names, and to values that are not files.
func crlf(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.ReplaceAll(s, "\r", "\n")
	return strings.ReplaceAll(s, "\n", "\r\n")
}

// ambiguous undoes what a name cannot tell from its escaped form.
var ambiguous = strings.NewReplacer("%22", `"`, "%0D", "\r", "%0A", "\n")

func checkFormData(t *testing.T, c capture, entries []json.RawMessage, e beacon.Event) {
	t.Helper()
	type entry struct {
		Name, Value, Type, B64 string
		Filename               *string
	}
	want := beacon.Form{}
	multipart := strings.HasPrefix(e.Request.ContentType, "multipart/")
	for _, raw := range entries {
		var x entry
		if err := json.Unmarshal(raw, &x); err != nil {
			t.Fatal(err)
		}
		f := beacon.Field{Name: crlf(x.Name)}
		if multipart {
			f.Name = ambiguous.Replace(f.Name)
		}
		if x.Filename == nil {
			f.Value = crlf(x.Value)
		} else {
			data, err := base64.StdEncoding.DecodeString(x.B64)
			if err != nil {
				t.Fatal(err)
			}
			f.File = &beacon.File{Name: ambiguous.Replace(*x.Filename), Type: x.Type, Data: data}
		}
		if strings.Contains(c.Case, "cp1252") {
			f.Name, f.Value = cp1252(f.Name), cp1252(f.Value)
		}
		want = append(want, f)
	}
	if strings.HasPrefix(e.Request.ContentType, "text/plain") { // <form enctype=text/plain>
		var text strings.Builder
		for _, f := range want {
			text.WriteString(f.Name + "=" + f.Value + "\r\n")
		}
		got, _ := e.Body.(beacon.Text)
		if string(got) != text.String() {
			t.Errorf("text %q, want %q", got, text.String())
		}
		return
	}
	if diff := cmp.Diff(beacon.Body(want), e.Body, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("entry list (-want +got)\n%s", diff)
	}
}

// cp1252 is how a windows-1252 page sends the text of these captures.
func cp1252(s string) string {
	return strings.NewReplacer("é", "\xe9", "€", "\x80", "日", "&#26085;", "本", "&#26412;", "😀", "&#128512;").Replace(s)
}

// roundTrip checks that an event survives its JSON form.
func roundTrip(t testing.TB, e beacon.Event) {
	t.Helper()
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var back beacon.Event
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	if diff := cmp.Diff(e, back, cmpopts.EquateComparable(e.Request.ClientIP)); diff != "" {
		t.Errorf("event changed by its JSON form (-want +got)\n%s\n%s", diff, b)
	}
}
