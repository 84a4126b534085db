package browsers

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/client"
)

// A store is a server that keeps beacons as a careful host does: twins, which have
// the same ID, once.
type store struct {
	near, far string // URLs of the same server, of different sites

	mu     sync.Mutex
	events map[string]beacon.Event // by ID
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

func newStore(t *testing.T) *store {
	t.Helper()
	s, h := newSink(t)
	pages := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/page" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		before := ""
		if r.URL.Query().Has("without-fetchlater") {
			before = "<script>delete globalThis.fetchLater</script>"
		}
		fmt.Fprintf(w, "<!doctype html><title>page</title>%s%s<p>%s", before, h.ScriptTag(client.Tag{}), r.URL.RawQuery)
	})
	srv := httptest.NewServer(h.Middleware(pages))
	t.Cleanup(srv.Close)
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	s.near, s.far = "http://127.0.0.1:"+port, "http://localhost:"+port
	return s
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
	}
	return nil
}

// count returns how many stored events have this text in them.
func (s *store) count(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, e := range s.events {
		if strings.Contains(e.Query.Get("trial"), text) || strings.Contains(fmt.Sprintf("%s", e.Body), text) {
			n++
		}
	}
	return n
}

// trials is how often each end of a page is tried: few in CI, 50 for the table of
// the README (BEACON_TRIALS=50).
func trials(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("BEACON_TRIALS"))
	if err != nil {
		return 10
	}
	return n
}

// TestDelivery ends pages in every way there is, with the client's defaults, and
// counts what is stored exactly once. The page holds a PendingPostBeacon, whose body
// and identity are its own affair, and a ReplaceableBeacon, which has an id.
func TestDelivery(t *testing.T) {
	ends := []struct {
		name string
		end  func(s *store, p *Page)
	}{
		{"close", func(_ *store, p *Page) { p.Close() }},
		{"same-site", func(s *store, p *Page) { p.Navigate(s.near + "/page?next") }},
		{"cross-site", func(s *store, p *Page) { p.Navigate(s.far + "/page?next") }},
		{"reload", func(_ *store, p *Page) { p.Reload() }},
	}
	configs := []struct {
		name   string
		engine Engine
		query  string
	}{
		{"chromium", Chromium, ""},
		{"chromium-without-fetchlater", Chromium, "without-fetchlater&"},
		{"firefox", Firefox, ""},
		{"webkit", WebKit, ""},
	}
	n := trials(t)
	for _, c := range configs {
		t.Run(c.name, func(t *testing.T) {
			b, s := Start(t, c.engine), newStore(t)
			fmt.Printf("browser: %s (%s)\n", b.Version(), c.name)
			for _, end := range ends {
				t.Run(end.name, func(t *testing.T) {
					b := b.For(t)
					for i := range n {
						mark := fmt.Sprintf("%s.%s.%d.", c.name, end.name, i)
						p := b.Open(s.near + "/page?" + c.query + mark)
						p.WaitFor(ready)
						p.Eval(`const post = new beacon.PendingPostBeacon("/_pb?trial=post.`+mark+`");
							post.setData("post.`+mark+`");
							globalThis.held = [post, new beacon.ReplaceableBeacon("/_pb")];
							held[1].replaceData("replaced.`+mark+`first");
							held[1].replaceData("replaced.`+mark+`last");`, nil)
						time.Sleep(100 * time.Millisecond) // a page that is left while it loads is another matter
						end.end(s, p)
						if end.name != "close" {
							time.Sleep(100 * time.Millisecond)
							p.Close()
						}
					}
					time.Sleep(time.Second) // for twins that are late
					once := map[string]int{}
					var missing, double []string
					for _, kind := range []string{"post.", "replaced."} {
						for i := range n {
							mark := fmt.Sprintf("%s%s.%s.%d.", kind, c.name, end.name, i)
							got := 0
							for deadline := time.Now().Add(3 * time.Second); got == 0 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
								got = s.count(mark)
							}
							switch {
							case got == 1:
								once[kind]++
							case got == 0:
								missing = append(missing, mark)
							default:
								double = append(double, mark)
							}
						}
					}
					fmt.Printf("delivery: %-28s %-11s PendingPostBeacon %d/%d, ReplaceableBeacon %d/%d\n", c.name, end.name, once["post."], n, once["replaced."], n)
					for kind, got := range once {
						if got < n-max(1, n/50) {
							t.Errorf("%s stored exactly once: %d of %d; missing %v, double %v", kind, got, n, missing, double)
						}
					}
					if len(once) < 2 {
						t.Errorf("nothing stored of a kind: %v; missing %v", once, missing)
					}
				})
			}
			t.Logf("%d twins were recognised", s.twins)
		})
	}
}
