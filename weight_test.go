package beacon

import (
	"errors"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/pagebeacon/beacon/internal/intake"
	"github.com/pagebeacon/beacon/internal/wire"
)

// A heavyRequest is one that becomes much more than it is.
type heavyRequest struct {
	name, contentType, body, query string
	headers                        int // bytes of the User-Agent
}

var heavy = []heavyRequest{
	{"lines", "application/x-ndjson", strings.Repeat("0\n", 1000), "", 100},
	{"bad lines", "application/x-ndjson", strings.Repeat("x\n", 1000), "", 100},
	{"lines of a megabyte", "application/x-ndjson", strings.Repeat("\""+strings.Repeat("x", 1000)+"\"\n", 1000), "", 100},
	{"lines behind a query", "application/x-ndjson", strings.Repeat("0\n", 500), "q=" + strings.Repeat("x", 9000), 100},
	{"lines behind headers", "application/x-ndjson", strings.Repeat("0\n", 500), "", 8 << 10},
	{"an envelope", "text/plain", `{"v":1,"m":"append","k":"k","ev":[{"n":1}` + strings.Repeat(`,{"n":2}`, 900) + "]}", "", 100},
	{"an envelope of nothing", "text/plain", `{"v":1,"m":"append","k":"k","ev":[0` + strings.Repeat(`,0`, 900) + "]}", "", 100},
	{"reports", "application/reports+json", "[0" + strings.Repeat(",0", 900) + "]", "", 100},
	{"a report", "application/reports+json", `[{"type":"t"` + strings.Repeat(`,"":0`, 10_000) + "}]", "", 100},
	{"members", "application/csp-report", `{"csp-report":{"a":0` + strings.Repeat(`,"":0`, 200_000) + "}}", "", 100},
	{"a csp report", "application/csp-report", `{"csp-report":{"document-uri":"u"` + strings.Repeat(`,"":0`, 990) + "}}", "", 100},
	{"fields", "application/x-www-form-urlencoded", strings.Repeat("a&", 1000), "", 100},
	{"escaped fields", "application/x-www-form-urlencoded", strings.Repeat("%41&", 1000), "", 100},
	{"empty fields", "application/x-www-form-urlencoded", "a" + strings.Repeat("&", 100_000) + "a", "", 100},
	{"parts", "multipart/form-data; boundary=b", strings.Repeat("--b\r\nContent-Disposition: form-data; name=\"\"; filename=\"\"\r\n\r\n\r\n", 1000) + "--b--", "", 100},
	{"a query", "text/plain", "x", strings.Repeat("a&", 1000), 100},
	{"text", "text/plain", strings.Repeat("<", 100_000), "", 100},
	{"zeros", "text/plain", gzipped(strings.Repeat("0", 60_000)), "", 100},
	{"lines, compressed", "application/x-ndjson", gzipped(strings.Repeat("0\n", 1000)), "", 100},
	{"zeros, deflated", "text/plain", zlibbed(strings.Repeat("0", 60_000)), "", 100},
}

func (c *heavyRequest) request() *http.Request {
	h := http.Header{"Content-Type": {c.contentType}, "User-Agent": {strings.Repeat("u", c.headers)}}
	if strings.HasPrefix(c.body, "\x1f") {
		h.Set("Content-Encoding", "gzip")
	}
	return &http.Request{Method: "POST", Header: h, URL: &url.URL{Path: "/b", RawQuery: c.query}}
}

// TestWeightIsReserved: what a request takes, up to its events as their Size has it, was
// asked for before, and what was asked for and refused is not taken.
func TestWeightIsReserved(t *testing.T) {
	for _, c := range heavy {
		held := int64(0)
		lim := bounds{Limits: Limits{}.withDefaults(), hold: func(n int64) error { held += n; return nil }}
		events, taken := decodeCounting(t, &c, &lim)
		size := 0
		for i := range events {
			size += events[i].Size()
		}
		if int(held)+len(c.body)+unclaimed < size {
			t.Errorf("%s: %d events of %d bytes; %d were asked for", c.name, len(events), size, held)
		}
		if most := int(held) + len(c.body) + inflater; taken > 2*most {
			t.Errorf("%s: %d bytes were allocated, and %d asked for", c.name, taken, held)
		}
		if most := 3*size + 4*len(c.body) + 128<<10; int(held) > most {
			t.Errorf("%s: %d bytes were asked for, and the events take %d", c.name, held, size)
		}
		for left := held - 1; left > 0; left /= 4 {
			lim := bounds{Limits: Limits{}.withDefaults()}
			lim.hold = func(n int64) error {
				if left -= n; left < 0 {
					return errNone
				}
				return nil
			}
			had := left
			if _, taken := decodeCounting(t, &c, &lim); taken > 2*(int(had)+len(c.body)+inflater) {
				t.Errorf("%s: %d bytes were allocated, and %d could be had", c.name, taken, had)
			}
		}
	}
}

// inflater is what a decompressor takes, besides what it makes.
const inflater = 48 << 10

var errNone = errors.New("there is no more")

// decodeCounting decodes as the handler does, and says how much that allocates.
func decodeCounting(t *testing.T, c *heavyRequest, lim *bounds) (events []Event, allocated int) {
	t.Helper()
	r, body := c.request(), []byte(c.body)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	one := make([]Event, 1)
	headers := intake.ReadHeaders(r)
	err := describe(&one[0], r, &headers, lim)
	if err == nil {
		var content content
		if content, err = unpack(&one[0], wire.ParseMediaType(c.contentType), body, lim); err == nil {
			events, err = decode(one, &headers, content, lim)
		}
	}
	runtime.ReadMemStats(&after)
	if err != nil && !errors.Is(err, errNone) {
		t.Errorf("%s: %v", c.name, err)
	}
	return events, int(after.TotalAlloc - before.TotalAlloc)
}
