package stores_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A load is pages that send what they did to receivers, until it is halted. Each request
// goes to any of them, so reports of one page view come by all receivers at once. Two
// clients each are the tabs of one visitor.
type load struct {
	addrs   func() []string
	clients int
	pause   time.Duration // of a client between two requests, or a little less
	stop    chan struct{}
	wg      sync.WaitGroup
	answers [600]atomic.Int64
	broken  atomic.Int64

	mu     sync.Mutex
	events map[string]fate
	acked  int
}

// A fate is what became of an event, as its sender knows it.
type fate uint8

const (
	sent fate = iota + 1
	acked
)

const (
	viewsPerSession = 4
	reportsPerView  = 12
)

// begin starts a load on receivers whose addresses may change.
func begin(t *testing.T, clients int, addrs func() []string) *load {
	t.Helper()
	l := &load{addrs: addrs, clients: clients, pause: 10 * time.Millisecond, events: map[string]fate{}}
	l.start()
	t.Cleanup(l.halt)
	waitUntil(t, 30*time.Second, "the first acknowledgement", func() bool { return l.count() > 0 })
	return l
}

func (l *load) start() {
	l.stop = make(chan struct{})
	for n := range l.clients {
		l.wg.Go(func() { l.client(n) })
	}
}

// halt stops the clients. Requests under way are finished before.
func (l *load) halt() {
	if !l.stopped() {
		close(l.stop)
	}
	l.wg.Wait()
}

func (l *load) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// count returns how many events were acknowledged.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

func (l *load) set(ids []string, f fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		if f == acked && l.events[id] != acked {
			l.acked++
		}
		l.events[id] = max(f, l.events[id])
	}
}

// A series is what a client sends under one key.
type series struct{ mode, key, session, view, via string }

// A client is one tab. Of every other page view the reports do not say when they were sent:
// what of these is not acknowledged is repeated, and some of what is.
func (l *load) client(n int) {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	http := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}
	defer http.CloseIdleConnections()
	for v := 0; !l.stopped(); v++ {
		s := series{"replace", "s", fmt.Sprintf("s%d-%d", n/2, v/viewsPerSession), fmt.Sprintf("v%d-%d", n, v), []string{"now", "late"}[v%2]}
		start := time.Now().Add(-time.Hour).UnixMilli()
		for seq := 1; seq <= reportsPerView && !l.stopped(); seq++ {
			report := fmt.Sprintf(`{"n":%d,"t":%d,"e":"session","d":%s}`, seq, start, reportOf(start, seq))
			l.send(http, r, s, seq, 1, report)
			if seq%4 == 0 {
				var messages []string
				for i := seq - 3; i <= seq; i++ {
					messages = append(messages, fmt.Sprintf(`{"n":%d,"t":%d,"e":"log","d":{"msg":"%s"}}`, i, start, strings.Repeat("m", r.IntN(300))))
				}
				l.send(http, r, series{"append", "l", s.session, s.view, s.via}, seq-3, 4, strings.Join(messages, ","))
			}
			if seq%6 == 0 {
				click := fmt.Sprintf(`{"n":%d,"t":%d,"e":"click","d":{"n":%d}}`, seq, time.Now().UnixMilli(), n)
				l.send(http, r, series{"append", fmt.Sprintf("a%d-%d", n, v), s.session, "", "now"}, seq, 1, click)
			}
			if l.pause > 0 {
				time.Sleep(l.pause/2 + rand.N(l.pause/2))
			}
		}
	}
}

// reportOf is the content of a report, which follows from its number.
func reportOf(start int64, seq int) string {
	return fmt.Sprintf(`{"start":%d,"end":%d,"engaged":%d,"seen":%d}`, start, start+int64(seq)*2000, seq*1000, seq*1500)
}

// send sends n events of a series, from the number seq on.
func (l *load) send(c *http.Client, r *rand.Rand, s series, seq, n int, items string) {
	var ids []string
	for i := range n {
		id := fmt.Sprintf("%s:%d", s.key, seq+i)
		if s.view != "" {
			id = s.view + ":" + id
		}
		ids = append(ids, id)
	}
	body := fmt.Appendf(nil, `{"v":1,"m":%q,"k":%q,"sid":%q,"pv":%q,"via":%q,"at":%d,"page":"https://example.com/%s","ev":[%s]}`,
		s.mode, s.key, s.session, s.view, s.via, time.Now().UnixMilli(), s.view, items)
	l.set(ids, sent)
	for again := 0; ; again++ {
		addrs := l.addrs()
		status := l.post(c, addrs[r.IntN(len(addrs))], body)
		if status == http.StatusNoContent {
			l.set(ids, acked)
			if s.via == "now" || r.IntN(10) > 0 {
				return
			}
		} else {
			time.Sleep(5 * time.Millisecond)
		}
		if s.via == "now" || again == 3 || l.stopped() {
			return
		}
	}
}

// post returns the status of the answer, or 0 if there was none.
func (l *load) post(c *http.Client, addr string, body []byte) int {
	resp, err := c.Post(addr+"/b", "text/plain;charset=UTF-8", bytes.NewReader(body))
	if err != nil {
		l.broken.Add(1)
		return 0
	}
	io.Copy(io.Discard, resp.Body) // an answer without an end is one all the same
	resp.Body.Close()
	l.answers[resp.StatusCode].Add(1)
	return resp.StatusCode
}

// statuses says what was answered, and how often.
func (l *load) statuses() (s string) {
	for status := range l.answers {
		if n := l.answers[status].Load(); n > 0 {
			s += fmt.Sprintf(" %d×%d", n, status)
		}
	}
	return s
}

// waitUntil polls, since what it waits for happens in another process.
func waitUntil(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	within *= pick[time.Duration](1, 20)
	end := time.Now().Add(within)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, within)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b = append(w.b, p...)
	if len(w.b) > 64<<10 && !bytes.Contains(w.b, []byte("DATA RACE")) {
		w.b = append([]byte(nil), w.b[len(w.b)-32<<10:]...)
	}
	return len(p), nil
}

func (w *tail) has(text string) bool { return strings.Contains(w.String(), text) }

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.b)
}
