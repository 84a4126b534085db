package beacon_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// full returns an event with something in every field, each with its own text.
func full(body beacon.Body) beacon.Event {
	n := 0
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		for i := range v.NumField() {
			switch f := v.Field(i); f.Kind() {
			case reflect.String:
				n++
				f.SetString(fmt.Sprintf("%s %d", v.Type().Field(i).Name, n))
			case reflect.Bool:
				f.SetBool(true)
			case reflect.Uint64:
				f.SetUint(7)
			case reflect.Struct:
				if f.Type() != reflect.TypeFor[time.Time]() && f.Type() != reflect.TypeFor[netip.Addr]() {
					fill(f)
				}
			}
		}
	}
	e := beacon.Event{
		Time: time.UnixMilli(1).UTC(), Received: time.UnixMilli(2).UTC(), Sent: time.UnixMilli(3).UTC(), Body: body,
		Query: beacon.Form{{Name: "q", Value: "1"}}, Attrs: map[string]string{"k": "v"},
		Errors: []beacon.FieldError{{Key: "k", Value: "v", Reason: "r"}},
	}
	fill(reflect.ValueOf(&e).Elem())
	e.Request.ClientIP = netip.MustParseAddr("2001:db8::1")
	e.Mode = beacon.ModeReplace
	return e
}

var everyKind = []beacon.Body{
	nil, beacon.Empty{}, beacon.Text("text"), beacon.JSON(`{"a":1}`), beacon.Binary{Type: "t", Data: []byte("data")},
	beacon.Form{{Name: "a", Value: "1"}, {Name: "f", File: &beacon.File{Name: "n", Type: "t", Data: []byte("d")}}}, beacon.Form(nil),
	beacon.Ping{From: "f", To: "t"}, beacon.Report{Type: "t", URL: "u", UserAgent: "ua", Age: 1, Body: json.RawMessage(`1`)},
}

var compareAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// TestClone: a clone is the same, and shares nothing: every string and slice that can be
// reached from it stands elsewhere.
func TestClone(t *testing.T) {
	for _, body := range everyKind {
		e := full(body)
		c := e.Clone()
		if diff := cmp.Diff(e, c, compareAddr); diff != "" {
			t.Errorf("%T (-event +clone)\n%s", body, diff)
		}
		if c.Size() != e.Size() {
			t.Errorf("%T: size %d, of the clone %d", body, e.Size(), c.Size())
		}
		here := map[uintptr]string{}
		pointers(reflect.ValueOf(e), "", func(p uintptr, path string) { here[p] = path })
		pointers(reflect.ValueOf(c), "", func(p uintptr, path string) {
			if at, shared := here[p]; shared {
				t.Errorf("%T: the clone's %s is the event's %s", body, path, at)
			}
		})
	}
	var zero beacon.Event
	if diff := cmp.Diff(zero, zero.Clone(), compareAddr); diff != "" {
		t.Error(diff)
	}
}

// pointers calls f with the address of all memory that v leads to.
func pointers(v reflect.Value, path string, f func(p uintptr, path string)) {
	switch v.Kind() {
	case reflect.String:
		if v.Len() > 0 {
			f(uintptr(unsafe.Pointer(unsafe.StringData(v.String()))), path)
		}
	case reflect.Slice:
		if v.Cap() > 0 {
			f(v.Pointer(), path)
		}
		for i := range v.Len() {
			pointers(v.Index(i), fmt.Sprintf("%s[%d]", path, i), f)
		}
	case reflect.Map:
		f(v.Pointer(), path)
		for _, k := range v.MapKeys() {
			pointers(k, path+" key", f)
			pointers(v.MapIndex(k), path+" value", f)
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			if v.Kind() == reflect.Pointer {
				f(v.Pointer(), path)
			}
			pointers(v.Elem(), path, f)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() || v.Type() == reflect.TypeFor[netip.Addr]() {
			return
		}
		for i := range v.NumField() {
			pointers(v.Field(i), path+"."+v.Type().Field(i).Name, f)
		}
	}
}

// TestSizeCountsEverything: each string or byte that a field gains is in Size.
func TestSizeCountsEverything(t *testing.T) {
	for _, body := range everyKind {
		small := full(body)
		var grow func(v reflect.Value)
		grow = func(v reflect.Value) {
			for i := range v.NumField() {
				f := v.Field(i)
				switch {
				case f.Kind() == reflect.String:
					old, before := f.String(), small.Size()
					f.SetString(old + strings.Repeat("x", 1000))
					if got := small.Size() - before; got != 1000 {
						t.Errorf("%T: 1,000 bytes more in %s add %d", body, v.Type().Field(i).Name, got)
					}
					f.SetString(old)
				case f.Kind() == reflect.Struct && f.Type().PkgPath() == "github.com/pagebeacon/beacon":
					grow(f)
				}
			}
		}
		grow(reflect.ValueOf(&small).Elem())
	}
	before := (beacon.Event{}).Size()
	for _, e := range []beacon.Event{
		{Body: beacon.Text(make([]byte, 1000))}, {Body: beacon.JSON(make([]byte, 1000))}, {Body: beacon.Binary{Data: make([]byte, 1000)}},
		{Body: beacon.Ping{From: string(make([]byte, 1000))}}, {Body: beacon.Report{Body: make([]byte, 1000)}},
		{Body: beacon.Form{{File: &beacon.File{Data: make([]byte, 1000)}}}}, {Query: beacon.Form{{Value: string(make([]byte, 1000))}}},
		{Attrs: map[string]string{"k": string(make([]byte, 1000))}}, {Errors: []beacon.FieldError{{Value: string(make([]byte, 1000))}}},
	} {
		if n := e.Size() - before; n < 1000 || n > 1200 {
			t.Errorf("%T: %d", e.Body, n)
		}
	}
}

// TestEventsPinNothing: an event that is kept keeps no more than twice its size and 8
// KiB, whatever the request was that it came in.
func TestEventsPinNothing(t *testing.T) {
	const mega = 1 << 20
	gz := func(s string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write([]byte(s))
		_ = w.Close()
		return b.String()
	}
	part := func(name, value string) string {
		return "--B\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
	}
	const multipart, form, ndjson = "multipart/form-data; boundary=B", "application/x-www-form-urlencoded", "application/x-ndjson"
	blank := strings.Map(func(r rune) rune { return rune(" \n\t\r"[r%4]) }, randomText(2*mega))
	item := func(i int) string { return fmt.Sprintf(`{"n":%d,"e":"name","d":{"i":%d}}`, i+1, i) }
	envelope := `{"v":1,"m":"append","k":"key","sid":"session","pv":"view","page":"https://example.com/","ev":[`
	var many strings.Builder
	many.WriteString(envelope + item(0))
	for i := range 900 {
		many.WriteString("," + item(i+1))
	}
	var reports strings.Builder
	reports.WriteString(`[{"type":"crash","url":"https://example.com/","body":{"x":1}}`)
	for range 900 {
		reports.WriteString(`,{"type":"crash","url":"https://example.com/","body":{"x":1}}`)
	}
	for _, c := range []struct {
		name, contentType, body, query string
		path                           int // bytes of it
	}{
		{"preamble", multipart, strings.Repeat("x", mega) + "\r\n" + part("a", "1") + "--B--\r\n", "", 0},
		{"epilogue", multipart, part("a", "1") + "--B--\r\n" + strings.Repeat("x", mega-200), "", 0},
		{"blank lines", ndjson, "{}" + strings.Repeat("\n", mega-2), "", 0},
		{"blank lines, compressed", ndjson, gz("{}" + blank), "", 0},
		{"one escape", form, "a=%41" + strings.Repeat("&", mega-10), "", 0},
		{"a large line and a small one", ndjson, "{}\n\"" + strings.Repeat("x", mega-10) + "\"", "", 0},
		{"many lines", ndjson, strings.Repeat("{\"a\":1}\n", 1000), "", 0},
		{"many reports", "application/reports+json", reports.String() + "]", "", 0},
		{"a report with more in it than it has", "application/reports+json", `[{"type":"a","junk":"` + strings.Repeat("x", mega-100) + `"}]`, "", 0},
		{"a csp report with more", "application/csp-report", `{"junk":"` + strings.Repeat("x", mega-100) + `","csp-report":{"document-uri":"u"}}`, "", 0},
		{"a bad report", "application/reports+json", `[5,"` + strings.Repeat("x", mega-100) + `"]`, "", 0},
		{"a large envelope", "text/plain", many.String() + "]}", "", 0},
		{"an envelope with more in it", "text/plain", envelope + item(0) + `],"junk":"` + strings.Repeat("x", mega-200) + `"}`, "", 0},
		{"an item with more in it", "text/plain", envelope + `{"n":1,"d":1,"junk":"` + strings.Repeat("x", mega-300) + `"}]}`, "", 0},
		{"white space", "application/json", "1" + strings.Repeat(" ", 100), "", 0},
		{"ampersands in the query", "text/plain", "x", "a=1" + strings.Repeat("&", 64<<10-3), 0},
		{"an escape in the query", "text/plain", "x", "a=%41" + strings.Repeat("&", 64<<10-5), 0},
		{"a query", "text/plain", "x", "a=" + strings.Repeat("x", 3000), 0},
		{"small, chunked, with a query", ndjson, strings.Repeat("{\"a\":1}\n", 70), "a=" + strings.Repeat("x", 900), 0},
		{"padded lines", ndjson, padded("{}\n{}"), "", 0},
		{"a padded report", "application/reports+json", padded(`[{"type":"a"}]`), "", 0},
		{"a padded csp report", "application/csp-report", padded(`{"csp-report":{"document-uri":"u"}}`), "", 0},
		{"a padded envelope", "text/plain", padded(envelope + item(0) + "]}"), "", 0},
		{"a large csp report", "application/csp-report", `{"csp-report":{"document-uri":"u","x":"` + strings.Repeat("x", mega-100) + `"}}`, "", 0},
		{"a long path", "text/plain", "x", "a=1", 800 << 10},
		{"a long path alone", "text/plain", "x", "", 800 << 10},
		{"a file and a name", multipart, part("user", "alice") + "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n" + strings.Repeat("x", mega-300) + "\r\n--B--\r\n", "", 0},
	} {
		for _, length := range []int64{int64(len(c.body)), -1} {
			for _, last := range []bool{false, true} {
				const requests = 8
				kept := make([]beacon.Event, requests)
				size := 0
				grown := heapGrowth(func() {
					for i := range kept {
						kept[i] = oneOf(t, c.contentType, c.body, c.query, c.path, length, last)
						size += kept[i].Size()
					}
				})
				if bound := 2*size + requests*8<<10; grown > bound {
					t.Errorf("%s, length %d: %d events keep %d bytes alive, their size is %d", c.name, length, requests, grown, size)
				}
				runtime.KeepAlive(kept)
			}
		}
	}
}

// oneOf sends a request and returns the first or the last event of it.
func oneOf(t *testing.T, contentType, body, query string, path int, length int64, last bool) (e beacon.Event) {
	t.Helper()
	h := newHandler(t, beacon.Config{MaxBody: 4 << 20, Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		if e = events[0]; last {
			e = events[len(events)-1]
		}
		return nil
	})})
	// A request line as net/http reads one: method and target are parts of it.
	line := []byte("POST http://host.example/" + strings.Repeat("p", path) + "?" + query + " HTTP/1.1")
	target := string(line)
	mark := 25 + path // the question mark
	r := &http.Request{
		Method: target[:4], URL: &url.URL{Path: target[24:mark], RawQuery: target[mark+1 : mark+1+len(query)]}, Host: target[12:24],
		RequestURI: target[5 : len(target)-9],
		Header:     http.Header{"Content-Type": {contentType}}, ContentLength: length, Body: io.NopCloser(strings.NewReader(body)),
	}
	if res := serve(h, r); res.StatusCode != 204 {
		t.Fatalf("%s %.60q: %d %s", contentType, body, res.StatusCode, res.Header.Get("Beacon-Refused"))
	}
	return e
}

// heapGrowth is how many bytes more are alive after f.
func heapGrowth(f func()) int {
	measure := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // pools let go in the second
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := measure()
	f()
	return measure() - before
}

// TestKeptStringsAreCopies: what On hands out of a form does not hold the files beside it.
func TestKeptStringsAreCopies(t *testing.T) {
	var kept []string
	h := newHandler(t, beacon.Config{Sink: beacon.On(func(_ context.Context, _ beacon.Event, v struct{ User string }) error {
		kept = append(kept, v.User)
		return nil
	})})
	body := beacontest.FormData(beacon.Form{{Name: "user", Value: "alice"}, {Name: "f", File: &beacon.File{Data: make([]byte, 1e6)}}}, beacontest.Boundary)
	grown := heapGrowth(func() {
		for range 50 {
			r := httptest.NewRequest("POST", "/b", bytes.NewReader(body))
			r.Header.Set("Content-Type", "multipart/form-data; boundary="+beacontest.Boundary)
			serve(h, r)
		}
	})
	if len(kept) != 50 || grown > 10<<20 {
		t.Errorf("%d names hold %d bytes", len(kept), grown)
	}
	runtime.KeepAlive(kept)
}

// TestDecodedEventsPinNothing: what was stored as base64 is not kept twice.
func TestDecodedEventsPinNothing(t *testing.T) {
	for _, body := range []beacon.Body{
		beacon.Binary{Data: bytes.Repeat([]byte{0xFF}, 1<<20)}, beacon.Text(strings.Repeat("\xff", 1<<20)),
		beacon.JSON(`{"a": "` + strings.Repeat("<", 1<<20) + `"}`), beacon.Text(strings.Repeat("\x01", 1<<20)),
	} {
		b, err := json.Marshal(full(body))
		if err != nil {
			t.Fatal(err)
		}
		kept := make([]beacon.Event, 4)
		grown := heapGrowth(func() {
			for i := range kept {
				if err := kept[i].UnmarshalJSON(b); err != nil {
					t.Fatal(err)
				}
			}
		})
		if size := kept[0].Size(); grown > len(kept)*(2*size+8<<10) {
			t.Errorf("%T of %d bytes: %d alive for %d of them", body, size, grown, len(kept))
		}
		runtime.KeepAlive(kept)
	}
}

// randomText does not compress well.
func randomText(n int) string {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32() & 0x7F)
	}
	return string(b)
}

// padded compresses s, with blocks around it that hold nothing.
func padded(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for range 50_000 {
		_ = w.Flush()
	}
	_, _ = w.Write([]byte(s))
	for range 50_000 {
		_ = w.Flush()
	}
	_ = w.Close()
	return b.String()
}
