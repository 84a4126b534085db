package visits

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pagebeacon/beacon"
)

// A Request is one that a browser sends, and when a server receives it.
type Request struct {
	Method, Target string // the target is a path and a query
	Type           string // Content-Type, if there is a body
	Key            string // Idempotency-Key, of one that is no envelope
	Body           []byte
	ID             string // of the request, the same however often it is sent
	Received       time.Time
	Events         int // that it carries
}

// The headers by which Played knows when a request is received, and what its ID is.
const (
	receivedHeader = "Played-Received" // microseconds since the epoch
	idHeader       = "Played-Id"
)

// Requests returns what the browser of one visitor sends, in the order in which it
// arrives. The shape is that of real visits: 61 of 100 have one page, the others a median
// of 8 and a mean of 16. Pages are hidden and shown, some stand open beside others, and
// send vitals, messages and clicks. Some requests are lost, some held back for up to an
// hour, some sent twice, and some browsers' clocks are wrong by up to three hours. What is
// sent twice may be received at two times: of these one may be the event that a store
// keeps, and both count for the sessions.
//
// The visit begins within a day from base on, and all of it should be in the past: a
// handler takes no event to be of the future. id goes into all ids, so visits with
// different ones have nothing in common.
func Requests(r *rand.Rand, id string, base time.Time) []Request {
	s := &sender{r: r, id: id, base: base}
	if r.IntN(10) == 0 {
		s.skew = some(r, 6*hour) - 3*hour
	}
	at := some(r, 24*hour)
	previous := "https://search.example/"
	for n := range pages(r) {
		page := fmt.Sprintf("https://shop.example/%s/%d", [...]string{"list", "product", "help"}[r.IntN(3)], r.IntN(200))
		end := s.page(fmt.Sprintf("%s-%d", id, n), page, previous, at)
		if at += lasts(r, 4*second, 1); r.IntN(10) > 0 { // else in another tab
			at = end + some(r, 2*second)
		}
		previous = page
	}
	slices.SortStableFunc(s.sent, func(a, b Request) int { return a.Received.Compare(b.Received) })
	return s.sent
}

// pages is how many a visit has.
func pages(r *rand.Rand) int {
	if r.IntN(100) < 61 {
		return 1
	}
	// exp(s²/2) is the mean by the median.
	return min(max(2, int(9*math.Exp(r.NormFloat64()*math.Sqrt(2*math.Ln2)))), 500)
}

// lasts is a time of which the median is given, and how much it varies.
func lasts(r *rand.Rand, median time.Duration, sigma float64) time.Duration {
	d := time.Duration(float64(median) * math.Exp(r.NormFloat64()*sigma))
	return min(d, hour).Truncate(100 * time.Microsecond)
}

// A sender is a browser with the client. Times are since base, as they truly are.
type sender struct {
	r    *rand.Rand
	id   string
	base time.Time
	skew time.Duration
	sent []Request
	keys int // of requests that are no envelopes
}

// page is one page view, with all that is sent meanwhile. It returns when it ends.
func (s *sender) page(view, page, ref string, at time.Duration) time.Duration {
	var shown, seen, engaged time.Duration
	end, seq, logged := at, 0, 0
	report := func(via string) {
		seq++
		s.envelope("replace", "s:"+view, view, page, via, end, seq, "session",
			fmt.Sprintf(`{"start":%s,"end":%s,"engaged":%s,"seen":%s,"ref":%q}`, s.millis(at), s.millis(end), inMillis(engaged), inMillis(seen), ref))
	}
	if s.r.IntN(3) == 0 {
		s.envelope("append", "vitals", view, page, "now", at+second, 1, "LCP", fmt.Sprintf(`{"value":%d.5,"rating":"good"}`, 300+s.r.IntN(4000)),
			fmt.Sprintf(`{"value":0.%03d,"rating":"good"}`, s.r.IntN(200)))
	}
	if s.r.IntN(30) == 0 {
		s.plain(at)
	}
	for times := 1 + s.r.IntN(2)*s.r.IntN(3); times > 0; times-- {
		for left := lasts(s.r, 20*second, 1.2); left > 0; left -= 30 * second {
			shown = min(left, 30*second)
			end, seen = end+shown, seen+shown
			engaged += time.Duration(s.r.Int64N(int64(shown) + 1)).Truncate(100 * time.Microsecond)
			if left > 30*second {
				report("now")
			}
		}
		if s.r.IntN(8) == 0 {
			logged++
			s.envelope("append", "l:"+view, view, page, "now", end, logged, "log", `{"msg":"`+strings.Repeat("what went on; ", 1+s.r.IntN(8))+`"}`)
		}
		if s.r.IntN(6) == 0 {
			s.keys++
			s.envelope("append", "click", view, page, "now", end, s.keys, "click", fmt.Sprintf(`{"id":"buy-%d","x":%d,"y":%d}`, s.r.IntN(50), s.r.IntN(1900), s.r.IntN(1000)))
		}
		report("bye")
		if times > 1 {
			end += lasts(s.r, minute, 1) // hidden
		}
	}
	return end
}

// envelope sends items of a series, numbered from seq on.
func (s *sender) envelope(mode, series, view, page, via string, at time.Duration, seq int, name string, items ...string) {
	wait := time.Duration(0)
	if s.r.IntN(50) == 0 {
		via, wait = "rec", some(s.r, hour)
	}
	b := fmt.Appendf(nil, `{"v":1,"m":%q,"k":%q,"sid":%q,"pv":%q,"page":%q,"via":%q,"at":%s,"ev":[`,
		mode, series, s.id, view, page, via, s.millis(at+wait))
	for i, item := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"n":%d,"t":%s,"e":%q,"d":%s}`, seq+i, s.millis(at), name, item)
	}
	s.request(Request{Method: http.MethodPost, Target: "/_pb", Type: "text/plain;charset=UTF-8", Body: append(b, "]}"...), Events: len(items)}, at+wait)
}

// plain sends what pages send without the client.
func (s *sender) plain(at time.Duration) {
	s.keys++
	key := fmt.Sprintf("%s-k%d", s.id, s.keys)
	if s.r.IntN(2) == 0 {
		s.request(Request{Method: http.MethodGet, Target: "/_pb?seen=" + strconv.Itoa(s.keys), Key: key, Events: 1}, at)
		return
	}
	s.request(Request{Method: http.MethodPost, Target: "/_pb", Type: "application/x-www-form-urlencoded", Key: key, Body: []byte("msg=hello+there&n=" + strconv.Itoa(s.keys)), Events: 1}, at)
}

// request puts a request on its way, on which it may get lost or be repeated.
func (s *sender) request(q Request, at time.Duration) {
	n := len(s.sent)
	q.ID = s.id + "-r" + strconv.Itoa(n)
	q.Received = s.base.Add(at + Way + some(s.r, 100*time.Millisecond))
	switch s.r.IntN(60) {
	case 0:
		if n > 0 {
			return
		}
	case 1:
		s.sent = append(s.sent, q)
	case 2:
		twin := q
		twin.ID += "t"
		twin.Received = q.Received.Add(some(s.r, minute))
		s.sent = append(s.sent, twin)
	}
	s.sent = append(s.sent, q)
}

func (s *sender) millis(at time.Duration) string {
	return strconv.FormatFloat(float64(s.base.Add(at+s.skew).UnixMicro())/1000, 'f', -1, 64)
}

// HTTP returns the request as it goes to a server.
func (q Request) HTTP(ctx context.Context, server string) (*http.Request, error) {
	var body io.Reader
	if q.Body != nil {
		body = bytes.NewReader(q.Body)
	}
	h, err := http.NewRequestWithContext(ctx, q.Method, server+q.Target, body)
	if err != nil {
		return nil, err
	}
	h.Host = "shop.example" // on whatever port the server is
	set := func(name, value string) {
		if value != "" {
			h.Header[name] = []string{value}
		}
	}
	set("Content-Type", q.Type)
	set("Idempotency-Key", q.Key)
	set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0")
	set(idHeader, q.ID)
	set(receivedHeader, strconv.FormatInt(q.Received.UnixMicro(), 10))
	return h, nil
}

// Played is a [beacon.Config.Enrich] for the receivers of Requests: events are as they
// would be if all requests had come when they say, and once. A visit of a day can be
// played within a second then, and what becomes of it does not depend on when, on retries
// and on which of several receivers it came to.
func Played(r *http.Request, e *beacon.Event) error {
	us, err := strconv.ParseInt(r.Header.Get(receivedHeader), 10, 64)
	if err != nil {
		return fmt.Errorf("%w: no request that is played: %w", beacon.ErrPermanent, err)
	}
	received := time.UnixMicro(us).UTC()
	if !e.Sent.IsZero() {
		e.Time = received.Add(e.Time.Sub(e.Received))
	} else if e.Time.After(received) { // it says nothing of when, or says the future
		e.Time = received
	}
	id := r.Header.Get(idHeader)
	if e.ID == e.Request.ID {
		e.ID = id
	}
	e.Received, e.Request.ID = received, id
	return nil
}
