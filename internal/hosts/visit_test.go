package hosts

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

// The bodies of a visit, with what tends to be lost on the way.
var (
	loadForm = beacon.Form{
		{Name: "msg", Value: "page loaded"},
		{Name: `quo"ted`, Value: "two\r\nlines"},
		{Name: "naïve", Value: "nul \x00, ; & = %zz +"},
		{Name: "msg", Value: ""},
	}
	fileForm = beacon.Form{
		{Name: "msg", Value: "attached"},
		{Name: "file", File: &beacon.File{Name: `C:\dir/é.bin`, Type: "application/x-thing", Data: everyByte(80)}},
		{Name: "empty", File: &beacon.File{Type: "application/octet-stream", Data: []byte{}}},
	}
	jsonBody = beacon.JSON("{ \"lcp\": 1234.50,\n\t\"name\":\"\\u00e9\" }")
	pingBody = beacon.Ping{From: "https://app.example/page#part", To: "https://elsewhere.example/?q=1"}
	byeBody  = beacon.JSON(`{"bye":true}`)
)

// goodbye is what the browser client says of a page that ends: as text, with what the
// event is in it.
const goodbye = `{"v":1,"m":"replace","k":"s","b":"b1","r":1,"sid":"s1","pv":"pv1","via":"bye","at":1700000012340,` +
	`"page":"https://app.example/","ev":[{"n":1,"t":1700000012340,"e":"session","d":` + goodbyeData + `}]}`

const goodbyeData = `{"start":1700000000000,"end":1700000012340,"seen":12000,"engaged":9000}`

// everyByte returns n times all byte values: more than fits a first buffer.
func everyByte(n int) []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return bytes.Repeat(all, n)
}

// A visit is what a page sends: one of each, and one that is not for this host.
type visit struct {
	way
	*site
	*host
}

// An arrival is what is compared of an event: what the page handed over.
type arrival struct {
	Method, Origin string
	Query          beacon.Form
	Body           beacon.Body
}

// sameBytes spares cmp the look at every single byte, which takes longer than all
// else here.
var sameBytes = cmp.Comparer(bytes.Equal)

func arrivals(h *host) (got []arrival) {
	for _, e := range h.events.Events() {
		got = append(got, arrival{e.Request.Method, e.Request.Origin, e.Query, e.Body})
	}
	return got
}

func (v visit) run(t *testing.T) {
	t.Helper()
	var want []arrival
	var sent []string // bodies of what is taken

	send := func(origin string, body, arrives beacon.Body) answer {
		t.Helper()
		r := v.request(t, body)
		if origin != v.origin {
			r.Header.Set("Origin", origin)
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Sec-Fetch-Mode", "cors")
		}
		if origin == unlisted {
			return v.expect(t, r, http.StatusForbidden, beacon.ReasonOrigin)
		}
		var data bytes.Buffer
		if _, err := io.Copy(&data, r.Body); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, data.String())
		r.Body = io.NopCloser(&data)
		want = append(want, arrival{http.MethodPost, origin, nil, arrives})
		return v.expect(t, r, v.taken(), "")
	}
	post := func(origin string, body beacon.Body) answer {
		t.Helper()
		return send(origin, body, body)
	}

	post(v.origin, loadForm)
	post(v.origin, jsonBody)
	v.pixel(t)
	want = append(want, arrival{Method: http.MethodGet, Query: pixelQuery, Body: beacon.Empty{}})
	sent = append(sent, "")
	post(v.origin, fileForm)
	post(v.origin, pingBody)
	v.preflight(t)
	if got := post(listed, byeBody).Header.Get("Access-Control-Allow-Origin"); got != listed {
		t.Errorf("the cross-origin answer allows %q, want %q", got, listed)
	}
	post(unlisted, byeBody)
	send(v.origin, beacon.Text(goodbye), beacon.JSON(goodbyeData))

	if diff := cmp.Diff(want, arrivals(v.host), sameBytes); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if v.captured {
		if diff := cmp.Diff(sent, v.bodiesReread()); diff != "" {
			t.Errorf("bodies that next read (-want +got):\n%s", diff)
		}
	}
	checkStats(t, v.host, counts{Delivered: 7, Events: 7, Preflights: 1, Refused: map[string]uint64{beacon.ReasonOrigin: 1}})
	if diff := cmp.Diff([]string{beacon.ReasonOrigin}, v.refusals()); diff != "" {
		t.Errorf("reasons that OnRefused got (-want +got):\n%s", diff)
	}
}

var pixelQuery = beacon.Form{{Name: "page", Value: "/home?é"}, {Name: "title", Value: "a b"}, {Name: "empty"}}

// pixelRequest is new Image().src from a page of the site.
func (s *site) pixelRequest(t *testing.T, query string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.origin+s.path+"?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Sec-Fetch-Mode", "no-cors")
	r.Header.Set("Sec-Fetch-Dest", "image")
	return r
}

func (v visit) pixel(t *testing.T) {
	t.Helper()
	r := v.pixelRequest(t, beacontest.URLEncoded(pixelQuery))
	if v.captured {
		v.expect(t, r, http.StatusAccepted, "")
		return
	}
	checkGIF(t, v.expect(t, r, http.StatusOK, ""))
}

func checkGIF(t *testing.T, a answer) {
	t.Helper()
	if typ := a.Header.Get("Content-Type"); typ != "image/gif" || len(a.body) != 43 || a.body[:6] != "GIF89a" {
		t.Errorf("pixel: %q, %d bytes %.6q, want image/gif, 43 bytes", typ, len(a.body), a.body)
	}
}

// preflightRequest is what a browser asks before it posts JSON to another origin.
func (s *site) preflightRequest(t *testing.T, origin string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, s.origin+s.path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", origin)
	r.Header.Set("Access-Control-Request-Method", "POST")
	r.Header.Set("Access-Control-Request-Headers", "content-type")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Sec-Fetch-Mode", "cors")
	return r
}

func (v visit) preflight(t *testing.T) {
	t.Helper()
	a := v.expect(t, v.preflightRequest(t, listed), http.StatusNoContent, "")
	want := map[string]string{
		"Access-Control-Allow-Origin":      listed,
		"Access-Control-Allow-Credentials": "true",
		"Access-Control-Allow-Headers":     "content-type",
	}
	got := map[string]string{}
	for name := range want {
		got[name] = a.Header.Get(name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("preflight (-want +got):\n%s", diff)
	}
}

// counts is what the tests compare of beacon.Stats.
type counts struct {
	Delivered, Preflights, Failed, Events uint64
	Refused                               map[string]uint64
}

// checkStats compares the counters, and that Received is their sum.
func checkStats(t *testing.T, h *host, want counts) {
	t.Helper()
	if want.Refused == nil {
		want.Refused = map[string]uint64{}
	}
	s := h.Stats()
	got := counts{s.Delivered, s.Preflights, s.Failed, s.Events, s.Refused}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Stats (-want +got):\n%s", diff)
	}
	sum := want.Delivered + want.Preflights + want.Failed
	for _, n := range want.Refused {
		sum += n
	}
	if s.Received != sum {
		t.Errorf("Stats.Received = %d, want %d", s.Received, sum)
	}
}
