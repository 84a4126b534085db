package beacon

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// The batches that clients and browsers send, of n events.

func benchEnvelope(n int) []byte {
	var items []string
	for i := range n {
		items = append(items, fmt.Sprintf(`{"n":%d,"t":170000000%04d,"e":"log","d":{"msg":"saved","button":"save-%d"}}`, i+1, i, i))
	}
	return []byte(`{"v":1,"m":"append","k":"l:3f9a1c","b":"b1","r":1,"sid":"9c2e41","pv":"3f9a1c","page":"https://example.com/products/42","via":"bye","at":1700000000999,"ev":[` +
		strings.Join(items, ",") + "]}")
}

func benchReports(n int) []byte {
	var items []string
	for i := range n {
		items = append(items, fmt.Sprintf(`{"age":%d,"body":{"blockedURL":"https://evil.example/x.js","disposition":"enforce","documentURL":"https://example.com/","effectiveDirective":"script-src-elem","lineNumber":%d,"originalPolicy":"script-src 'self'; report-to default","referrer":"","statusCode":200},"type":"csp-violation","url":"https://example.com/","user_agent":"Mozilla/5.0 (X11; Linux x86_64)"}`, i*10, i))
	}
	return []byte("[" + strings.Join(items, ",") + "]")
}

func benchLines(n int) []byte {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"event\":\"click\",\"target\":\"button-%d\",\"x\":%d,\"y\":220,\"time\":1700000000000,\"path\":\"/products/42\"}\n", i, i)
	}
	return []byte(b.String())
}

// BenchmarkBatch measures a batch beside what a host would write with encoding/json,
// which fills structs and does no more.
func BenchmarkBatch(b *testing.B) {
	type item struct {
		N uint64          `json:"n"`
		T float64         `json:"t"`
		E string          `json:"e"`
		D json.RawMessage `json:"d"`
	}
	type envelope struct {
		M, K, Sid, Pv, Via, Page string
		At                       float64
		Ev                       []item
	}
	type report struct {
		Age       float64         `json:"age"`
		Type      string          `json:"type"`
		URL       string          `json:"url"`
		UserAgent string          `json:"user_agent"`
		Body      json.RawMessage `json:"body"`
	}
	for _, n := range []int{1, 10, 100} {
		for _, c := range []struct {
			name, contentType string
			body              []byte
			stdlib            func(body []byte) error
		}{
			{"envelope", "text/plain;charset=UTF-8", benchEnvelope(n), func(body []byte) error { return json.Unmarshal(body, new(envelope)) }},
			{"reports", "application/reports+json", benchReports(n), func(body []byte) error { return json.Unmarshal(body, new([]report)) }},
			{"ndjson", "application/x-ndjson", benchLines(n), nil},
		} {
			r := &http.Request{Method: http.MethodPost, Header: http.Header{"Content-Type": {c.contentType}}}
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				benchCPU(b, len(c.body), func() {
					events, err := Decode(r, c.body, Limits{})
					if err != nil || len(events) != n {
						b.Fatal(len(events), err)
					}
				})
			})
			if c.stdlib == nil {
				continue
			}
			b.Run(fmt.Sprintf("%s/%d/stdlib", c.name, n), func(b *testing.B) {
				benchCPU(b, len(c.body), func() {
					if err := c.stdlib(c.body); err != nil {
						b.Fatal(err)
					}
				})
			})
		}
	}
}

// TestBatchAllocations holds what one event more of a batch costs.
func TestBatchAllocations(t *testing.T) {
	decode := func(contentType string, body []byte) float64 {
		r := &http.Request{Method: http.MethodPost, Header: http.Header{"Content-Type": {contentType}}}
		return testing.AllocsPerRun(50, func() {
			events, err := Decode(r, body, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			identify(events, "01a1febc-d03d-7f92-9ec0-2c3b1a4ac2f1")
		})
	}
	for _, c := range []struct {
		name, contentType string
		make              func(n int) []byte
		each              float64
	}{
		// The body in its interface; a page serves the IDs of many, and the text of some.
		{"envelope", "text/plain", benchEnvelope, 1.1},
		{"reports", "application/reports+json", benchReports, 1.2},
		{"ndjson", "application/x-ndjson", benchLines, 1.1},
	} {
		few, many := decode(c.contentType, c.make(10)), decode(c.contentType, c.make(110))
		if each := (many - few) / 100; each > c.each+0.1 {
			t.Errorf("%s: %.2f allocations for an event more, budget %v", c.name, each, c.each)
		}
	}
	for _, c := range []struct {
		name, contentType string
		body              []byte
		budget            float64
	}{
		{"form", "multipart/form-data; boundary=" + benchBoundary, benchMP3, 3}, // the text, the fields, and their interface
		{"JSON", "text/plain;charset=UTF-8", benchJ300, 2},
	} {
		e := benchEvent(t, c.contentType, c.body)
		b, err := e.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(50, func() { _ = new(Event).UnmarshalJSON(b) }); n > c.budget {
			t.Errorf("UnmarshalJSON of %s: %v allocations, budget %v", c.name, n, c.budget)
		}
	}
}
