package beacon_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/pagebeacon/beacon"
)

// rawSeeds are requests that are hostile in one way each.
func rawSeeds() []string {
	seed := func(line, headers, body string) string {
		return fmt.Sprintf("%s HTTP/1.1\r\nHost: h\r\n%sContent-Length: %d\r\n\r\n%s", line, headers, len(body), body)
	}
	gzipOf := func(s string) string { return string(compress("gzip", []byte(s))) }
	const encoded = "Content-Encoding: gzip\r\n"
	return []string{
		"GET /b?a=1&_b=x HTTP/1.1\r\nHost: h\r\nSec-Fetch-Dest: image\r\n\r\n",
		"OPTIONS /b HTTP/1.1\r\nHost: h\r\nOrigin: https://a\r\nAccess-Control-Request-Method: POST\r\n\r\n",
		"POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na=1\r\n0\r\nTrailer: x\r\n\r\n",
		"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nshort",
		"PUT /b HTTP/1.1\r\nHost: h\r\nOrigin: null\r\nContent-Length: 1\r\n\r\nx",
		seed("POST /b?"+strings.Repeat("a", 9000), "Content-Type: application/x-ndjson\r\n"+encoded, gzipOf(strings.Repeat("0\n", 1000))),
		seed("POST /b", "Content-Type: application/x-ndjson\r\nUser-Agent: "+strings.Repeat("<", 8<<10)+"\r\n", strings.Repeat("0\n", 100)),
		seed("POST /b", "Content-Type: application/x-ndjson\r\n", strings.Repeat("{\n", 1000)),
		seed("POST /b", "Content-Type: application/x-ndjson\r\n", strings.Repeat("\n", 10_000)+"0"),
		seed("POST /b", "Content-Type: application/reports+json\r\n"+encoded, gzipOf("["+strings.Repeat("{},", 999)+"{}]")),
		seed("POST /b", "Content-Type: application/reports+json\r\n", `[{"type":"x"`+strings.Repeat(`,"a":0`, 2000)+"}]"),
		seed("POST /b", "Content-Type: application/csp-report\r\n", `{"csp-report":{"a":0`+strings.Repeat(`,"b":0`, 2000)+"}}"),
		seed("POST /b", "Content-Type: text/plain\r\n"+encoded, gzipOf(`{"v":1,"m":"append","k":"k","ev":[`+strings.Repeat(`{"n":1},`, 999)+`{"n":2}]}`)),
		seed("POST /b", "Content-Type: application/x-www-form-urlencoded\r\n"+encoded, gzipOf(strings.Repeat("a&", 1000))),
		seed("POST /b", "Content-Type: application/x-www-form-urlencoded\r\n", "a=%41"+strings.Repeat("&", 10_000)),
		seed("POST /b", "Content-Type: multipart/form-data; boundary=x\r\n", strings.Repeat("a", 10_000)+"\r\n--x\r\n\r\n\r\n--x--"),
		seed("POST /b", "Content-Type: multipart/x"+strings.Repeat(";", 4000)+"\"\r\n", "x"),
		seed("POST /b", "Content-Type: text/plain\r\n"+encoded, gzipOf(strings.Repeat("<", 200_000))),
		seed("POST /b", "Content-Type: text/ping\r\nPing-To: https://a\r\n", "PING"),
	}
}

// FuzzRequest holds what is promised of any request at all, as it comes from the network
// and with the limits as they are by default: no panic, an end in exactly one counter, no
// more memory than is asked of the budget, and that in proportion to what was sent.
func FuzzRequest(f *testing.F) {
	files, err := filepath.Glob("testdata/wire/*/*.http")
	if err != nil || len(files) == 0 {
		f.Fatalf("no captures: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if len(raw) <= 8<<10 { // a large fill says nothing more than a small one
			f.Add(raw)
		}
	}
	for _, s := range rawSeeds() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		// Whatever else runs may allocate meanwhile, but hardly three times in a row.
		var o outcome
		for range 3 {
			if o = serveRaw(t, raw); o.taken <= o.allowed {
				return
			}
		}
		t.Errorf("%d bytes allocated for %d on the wire, %d decoded, %d events; want at most %d",
			o.taken, len(raw), o.decoded, o.events, o.allowed)
	})
}

// An outcome is what a raw request took.
type outcome struct {
	taken, allowed, decoded uint64
	events                  int
}

// serveRaw gives a request to a Handler and checks all but the memory.
func serveRaw(t *testing.T, raw []byte) (o outcome) {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return o // net/http answers it by itself
	}
	r.RemoteAddr = "203.0.113.7:1"
	size := 0
	h := newHandler(t, beacon.Config{Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		o.events = len(events)
		for i := range events {
			size += events[i].Size()
		}
		return nil
	})})
	w := httptest.NewRecorder()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	h.ServeHTTP(w, r)
	runtime.ReadMemStats(&after)

	st := h.Stats()
	ends := st.Delivered + st.Dropped + st.Preflights + st.Failed
	for _, n := range st.Refused {
		ends += n
	}
	taken := w.Code == http.StatusNoContent || w.Code == http.StatusOK
	if ends != 1 || st.Received != 1 || st.Active != 0 {
		t.Errorf("a request ended in %+v", st)
	}
	if w.Code == http.StatusInternalServerError {
		t.Errorf("a panic: %s", w.Body)
	}
	if taken != (st.Delivered+st.Preflights == 1) || (st.Delivered == 1) != (o.events > 0) {
		t.Errorf("answered %d with %+v and %d events", w.Code, st, o.events)
	}
	if size > 64<<20 {
		t.Errorf("the events take %d bytes, more than MaxInFlight", size)
	}
	o.decoded = uint64(len(raw) + largest(raw))
	o.taken = after.TotalAlloc - before.TotalAlloc
	// Up to three ways of decompression are tried one after the other, of which each takes
	// and gives back 45 KB.
	o.allowed = 64*o.decoded + (64+3*45)<<10 + 1<<10*uint64(o.events)
	return o
}

// largest is how much the body becomes if it is compressed in some way.
func largest(raw []byte) int {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return 0
	}
	body, _ := io.ReadAll(r.Body) // as much as there is
	most := 0
	for _, format := range []string{"gzip", "zlib", "deflate"} {
		plain, _ := decompress(format, body)
		most = max(most, len(plain))
	}
	return most
}
