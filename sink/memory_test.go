package sink_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sink"
)

// raw returns a request as it comes over the wire.
func raw(method, target, headers string, body []byte) []byte {
	return fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: example.com\r\nContent-Length: %d\r\n%s\r\n%s", method, target, len(body), headers, body)
}

// What a queue or a batch counts is what is in memory, or more than half of it, also where
// events are made to keep alive a request that is much larger.
func TestMemoryIsWhatIsCounted(t *testing.T) {
	const form, ndjson = "Content-Type: application/x-www-form-urlencoded\r\n", "Content-Type: application/x-ndjson\r\n"
	line := []byte(`{"text":"` + strings.Repeat("x", 1000) + `"}` + "\n")
	blank := append([]byte("0"), bytes.Repeat([]byte("\n"), 1<<14)...)
	part := "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--"
	cases := map[string][]byte{
		"nothing":                         raw("POST", "/", "", nil),
		"1 KB":                            raw("POST", "/", "Content-Type: application/json\r\n", line),
		"1 KB events of 200 KB":           raw("POST", "/", ndjson, bytes.Repeat(line, 200)),
		"small events of a large one":     raw("POST", "/", ndjson, bytes.Repeat([]byte("0\n"), 1000)),
		"one field of almost 4 KB":        raw("POST", "/", form, []byte("a=1"+strings.Repeat("&", 4000))),
		"blank lines":                     raw("POST", "/", ndjson, blank),
		"a request line of almost 4 KB":   raw("POST", "/beacon?"+strings.Repeat("&", 4000), "", nil),
		"the same, and a body":            raw("POST", "/beacon?"+strings.Repeat("&", 4000), form, []byte("a=1"+strings.Repeat("&", 4000))),
		"a preamble":                      raw("POST", "/", "Content-Type: multipart/form-data; boundary=x\r\n", []byte(strings.Repeat(" ", 1<<14)+"\r\n"+part)),
		"headers that are in every event": raw("POST", "/", ndjson+"User-Agent: "+strings.Repeat("u", 8000)+"\r\n", bytes.Repeat([]byte("0\n"), 1000)),
	}
	const room = 1 << 20
	kinds := map[string]func(next beacon.Sink) sink.Sink{
		"VolatileQueue": func(next beacon.Sink) sink.Sink {
			return sink.VolatileQueue(next, sink.QueueOptions{MaxBytes: room, NoWait: true})
		},
		"Batch": func(next beacon.Sink) sink.Sink { return sink.Batch(next, sink.BatchOptions{MaxWaiting: room}) },
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // of what the first one left in pools
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for kind, open := range kinds {
		for name, request := range cases {
			t.Run(kind+"/"+name, func(t *testing.T) {
				var made []beacon.Event
				h, err := beacon.New(beacon.Config{Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
					made = events
					return nil
				})})
				if err != nil {
					t.Fatal(err)
				}
				release := make(chan struct{})
				s := open(beacon.SinkFunc(func(context.Context, []beacon.Event) error { <-release; return nil }))

				before := heap()
				var wg sync.WaitGroup
				calls := 0
				for errs := make(chan error, 1); ; {
					r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request)))
					if err != nil {
						t.Fatal(err)
					}
					r.RemoteAddr = "192.0.2.1:1"
					w := httptest.NewRecorder()
					if h.ServeHTTP(w, r); w.Code != http.StatusNoContent {
						t.Fatal("answered", w.Code)
					}
					events := made
					made = nil
					calls++
					begun := make(chan struct{})
					wg.Go(func() {
						close(begun)
						if err := s.Consume(context.Background(), events); err != nil {
							select {
							case errs <- err:
							default:
							}
						}
					})
					<-begun
					runtime.Gosched()
					if len(errs) > 0 {
						if err := <-errs; !errors.Is(err, sink.ErrFull) {
							t.Fatal(err)
						}
						break
					}
				}
				took := heap() - before
				t.Logf("%d KB in memory, %d KB counted, %d calls", took>>10, room>>10, calls)
				if took > 2*room {
					t.Error("more than twice what is counted")
				}
				close(release)
				wg.Wait()
				if err := s.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
