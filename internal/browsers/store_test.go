package browsers

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/client"
)

// A store is a server that keeps beacons as a careful host does: twins, which have
// the same ID, once.
type store struct {
	near, far string // URLs of the same server, of different sites

	tag  client.Tag  // of its pages
	away atomic.Bool // whether it hangs up on all beacons

	mu     sync.Mutex
	events map[string]beacon.Event // by ID
	texts  []string                // of each event, what count looks into
	twins  int
}

// newSink returns a store that no server has yet, and the handler that fills it.
func newSink(t *testing.T) (*store, *beacon.Handler) {
	t.Helper()
	s := &store{events: map[string]beacon.Event{}}
	h, err := beacon.New(beacon.Config{Sink: beacon.SinkFunc(s.consume)})
	if err != nil {
		t.Fatal(err)
	}
	return s, h
}

// Origins that newStore serves, of which each has a storage of its own.
const origins = 5

// newStore starts a server whose pages below /page have the tag; those below /plain
// have no script.
func newStore(t *testing.T) *store {
	t.Helper()
	s, h := newSink(t)
	pages := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		content := ""
		switch q := r.URL.Query(); {
		case strings.HasPrefix(r.URL.Path, "/plain"):
			content = `<button onclick="globalThis.popup = window.open(this.value)">Open</button>`
		case !strings.HasPrefix(r.URL.Path, "/page"):
			http.NotFound(w, r)
			return
		default:
			if strings.HasPrefix(r.URL.Path, "/page/isolated") { // which makes the clock of Chromium finer
				w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
				w.Header().Set("Cross-Origin-Embedder-Policy", "require-corp")
			}
			if q.Has("without-fetchlater") {
				content = "<script>delete globalThis.fetchLater</script>"
			}
			content += string(h.ScriptTag(s.tag))
		}
		fmt.Fprintf(w, "<!doctype html><title>page</title>%s<p>text", content)
	})
	all := h.Middleware(pages)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.away.Load() && r.URL.Path == "/_pb" {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				conn.Close()
			}
			return
		}
		all.ServeHTTP(w, r)
	})}
	t.Cleanup(func() { srv.Close() })
	port := ""
	for i := range origins {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.%d:%s", i+1, port))
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ = net.SplitHostPort(l.Addr().String())
		go srv.Serve(l)
	}
	s.near, s.far = "http://127.0.0.1:"+port, "http://localhost:"+port
	return s
}

// origin returns one of the URLs of the server.
func (s *store) origin(i int) string {
	return strings.Replace(s.near, "127.0.0.1", fmt.Sprintf("127.0.0.%d", i%origins+1), 1)
}

func (s *store) consume(_ context.Context, events []beacon.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		if _, twin := s.events[e.ID]; twin {
			s.twins++
			continue
		}
		s.events[e.ID] = e
		s.texts = append(s.texts, textOf(e))
	}
	return nil
}

func textOf(e beacon.Event) string {
	text := fmt.Sprintf("%s %s", e.Query.Get("trial"), e.Body)
	if e.Name == "session" {
		text += " session." + e.Page
	}
	return text
}

// count returns how many stored events have this text in them.
func (s *store) count(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, t := range s.texts {
		if strings.Contains(t, text) {
			n++
		}
	}
	return n
}

// eventually waits until what carries text is stored n times, and then a moment
// more, for what should not come.
func (s *store) eventually(t *testing.T, n int, text string, patience time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(patience); s.count(text) < n && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(300 * time.Millisecond)
	if got := s.count(text); got != n {
		t.Errorf("%q is stored %d times, want %d", text, got, n)
	}
}

// settle waits until nothing more has come for a second.
func (s *store) settle() {
	last, since := -1, time.Now()
	for time.Since(since) < time.Second {
		s.mu.Lock()
		n := len(s.texts) + s.twins
		s.mu.Unlock()
		if n != last {
			last, since = n, time.Now()
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// nextVisit is a visitor's return to each origin after the leases of lost pages have
// run out: instead of waiting for that, it deletes them.
func (s *store) nextVisit(b *Browser, query string) {
	b.t.Helper()
	var pages []*Page
	for i := range origins {
		p := b.Open(s.origin(i) + "/plain")
		p.Eval(expireLeases, nil)
		p.Navigate(s.origin(i) + "/page/next?" + query)
		p.WaitFor(ready)
		pages = append(pages, p)
	}
	time.Sleep(3500 * time.Millisecond) // it begins after one, and is spread over two
	s.settle()
	for _, p := range pages {
		p.Close()
	}
}

// A lease is the one thing of the client's that is but a time.
const expireLeases = `for (const k of Object.keys(localStorage)) if (/^bcn/.test(k) && /^\d{13}$/.test(localStorage[k])) delete localStorage[k]`

const ready = `return typeof beacon === "object" && !!beacon.init && document.readyState === "complete"`

// quote writes text as a JavaScript string.
func quote(s string) string {
	b, _ := json.Marshal(s) // a string always marshals
	return string(b)
}
