package beacontest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pagebeacon/beacon"
)

// ServeHTTP answers GET with the events of a test, when there are enough of them:
//
//	GET /_test/events?test=ID&name=log&n=3&timeout=5s
//
// test is the value of [TestCookie]; without it, it is that of the cookie of this
// request. name, if given, leaves out events of other names. n is how many to wait for,
// by default 1, and timeout for how long, by default 5s and at most 1m.
//
// The answer is 200 and a JSON array of the events in their lossless form (see
// [beacon.Event.MarshalJSON]), of all that have come by then. Each event is there once,
// however often the browser sent it, and of a series whose last value counts only that
// one, as of the page view; they are in the order of their series and of Seq.
//
// If they do not come in time the answer is 504, and an object: error says in words what
// came instead, and what to look at; events, refused and others hold it. others counts
// what came without the cookie, of whatever test: events, and refusals by reason.
//
// Requests of other machines, of pages of other sites, by names that are not localhost or
// an address of this machine, and through proxies get 403, unless Remote is set. Proxies
// are known by the headers that they add, or by HTTP/1.0; one that does neither, as nginx
// may, is known by the Host that it passes on, if it does.
func (w *Watcher) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	h := rw.Header()
	h.Set("Cache-Control", "no-store")
	if !w.Remote && !local(r) {
		http.Error(rw, "beacontest: only for programs and pages of this machine that ask it as localhost or 127.0.0.1, and through no proxy: see Watcher.Remote", http.StatusForbidden)
		return
	}
	if r.Method != http.MethodGet {
		h.Set("Allow", http.MethodGet)
		http.Error(rw, "beacontest: only GET", http.StatusMethodNotAllowed)
		return
	}
	q, err := askedFor(r)
	if err != nil {
		http.Error(rw, "beacontest: "+err.Error(), http.StatusBadRequest)
		return
	}
	// The server's WriteTimeout would end the connection without a word. Not all of them can be asked.
	_ = http.NewResponseController(rw).SetWriteDeadline(time.Time{})
	begin := time.Now()
	ctx, cancel := context.WithTimeout(r.Context(), q.timeout)
	defer cancel()
	for {
		all, refused, others, changed := w.of(q.test)
		var found []beacon.Event
		for _, e := range all {
			if q.name == "" || e.Name == q.name {
				found = append(found, e)
			}
		}
		if len(found) >= q.n {
			answer(rw, http.StatusOK, append([]beacon.Event{}, found...))
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if r.Context().Err() != nil { // whoever has gone, or a handler around this one that has less time
				q.timeout = time.Since(begin).Round(time.Millisecond)
			}
			answer(rw, http.StatusGatewayTimeout, struct {
				Error   string         `json:"error"`
				Events  []beacon.Event `json:"events"`
				Refused []refusal      `json:"refused,omitempty"`
				Others  map[string]int `json:"others,omitempty"`
			}{q.missing(all, len(found), refused, others), append([]beacon.Event{}, all...), refused, others})
			return
		}
	}
}

// local says whether a request is of a program or page of this machine. A page of another
// site would name that site as Host, where its owner has pointed its name to this address.
func local(r *http.Request) bool {
	if !r.ProtoAtLeast(1, 1) { // nginx, where it is not told otherwise
		return false
	}
	for _, name := range []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip"} {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if ip, err := netip.ParseAddr(host); err == nil {
		if !ip.Unmap().IsLoopback() {
			return false
		}
	} else if host != "localhost" && !strings.HasSuffix(host, ".localhost") {
		return false
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}

// A question is what a test asks for.
type question struct {
	test, name string
	n          int
	timeout    time.Duration
}

func askedFor(r *http.Request) (question, error) {
	values := r.URL.Query()
	q := question{test: values.Get("test"), name: values.Get("name"), n: 1, timeout: 5 * time.Second}
	if q.test == "" {
		q.test = testOf(r)
	}
	if q.test == "" {
		return q, fmt.Errorf("test is missing: it is the value of the cookie %s that the browser was given", TestCookie)
	}
	var err error
	if s := values.Get("n"); s != "" {
		if q.n, err = strconv.Atoi(s); err != nil || q.n < 0 {
			return q, fmt.Errorf("n is %q, and has to be a number", s)
		}
	}
	if s := values.Get("timeout"); s != "" {
		if q.timeout, err = time.ParseDuration(s); err != nil || q.timeout < 0 || q.timeout > time.Minute {
			return q, fmt.Errorf("timeout is %q, and has to be a duration up to 1m, as 5s", s)
		}
	}
	return q, nil
}

// missing says what came instead of what a test waits for, and where to look.
func (q question) missing(all []beacon.Event, found int, refused []refusal, others map[string]int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d events", found, q.n)
	if q.name != "" {
		fmt.Fprintf(&b, " named %q", q.name)
	}
	fmt.Fprintf(&b, " came within %v; in all: %s.", q.timeout, tally(all))
	reasons := map[string]int{}
	for _, f := range refused {
		what := fmt.Sprintf("%d %s", f.Status, f.Reason)
		if f.Dropped != "" {
			what = "dropped by " + f.Dropped
		}
		reasons[what]++
	}
	for _, why := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(&b, " Not taken: %d (%s).", reasons[why], why)
	}
	switch {
	case len(all)+len(refused) > 0:
	case len(others) > 0:
		var without []string
		for _, what := range slices.Sorted(maps.Keys(others)) {
			without = append(without, fmt.Sprintf("%s: %d", what, others[what]))
		}
		fmt.Fprintf(&b, " Nothing came with the cookie %s=%s; without a cookie came %s. Is the cookie set for the host that the beacons go to, before the page is opened? "+
			"From a page of another site it has to be partitioned, and reports of the browser have none.", TestCookie, q.test, strings.Join(without, ", "))
	default:
		b.WriteString(" Nothing reached the handler. Does the page load the script, does the visitor agree (data-consent, Global Privacy Control), " +
			"is the page https or of this machine, and is the handler at the tag's endpoint? With data-debug the console of the page says which.")
	}
	return b.String()
}

func answer(rw http.ResponseWriter, status int, value any) {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		http.Error(rw, "beacontest: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := rw.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	rw.WriteHeader(status)
	_, _ = rw.Write(append(text, '\n')) // a test that has gone away needs nothing
}
