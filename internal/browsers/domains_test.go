package browsers

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
)

// otherDomainTag is the tag of docs/mounting.md for pages of another domain than the
// collector's.
const otherDomainTag = `<script src="https://collect.example/_pb.js" data-endpoint="https://collect.example/_pb" async></script>`

// otherDomainModule is the same with a module that the page imports from the collector.
const otherDomainModule = `<script type="module">
	import { beacon, init } from "https://collect.example/_pb.mjs";
	init({ endpoint: "https://collect.example/_pb" });
	globalThis.beacon = beacon;
</script>`

// TestOtherDomain: a page whose tag names a collector of another origin, of its own site
// and of another one, is a session there, if the collector lists the page's origin. The
// collector's Lax cookie comes along within a site only. A page that is not listed leaves
// nothing but a count of what was refused.
func TestOtherDomain(t *testing.T) {
	for _, e := range Engines() {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			otherDomain(t, Start(t, e))
		})
	}
}

func otherDomain(t *testing.T, b *Browser) {
	var tag string // which pages have
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><title>page</title><link rel=icon href=data:,>`)
		if r.URL.Path == "/page" {
			fmt.Fprint(w, tag)
		}
	}))
	t.Cleanup(pages.Close)
	for _, tt := range []struct {
		name, host, tag string
		listed          bool
		user            string
	}{
		{"same site", "127.0.0.1", otherDomainTag, true, "alice"},
		{"another site", "localhost", otherDomainTag, true, ""},
		{"module of another site", "localhost", otherDomainModule, true, ""},
		{"not listed", "localhost", otherDomainTag, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var mu sync.Mutex
			var got []beacon.Event
			var origins []string
			if tt.listed {
				origins = []string{pages.URL}
			}
			h, err := beacon.New(beacon.Config{
				Origins: origins,
				Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
					mu.Lock()
					defer mu.Unlock()
					got = append(got, events...)
					return nil
				}),
				Enrich: func(r *http.Request, e *beacon.Event) error {
					if c, err := r.Cookie("user"); err == nil {
						e.Attrs = map[string]string{"user": c.Value}
					}
					return nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			collector := httptest.NewServer(h.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				http.SetCookie(w, &http.Cookie{Name: "user", Value: "alice", Path: "/", SameSite: http.SameSiteLaxMode})
			})))
			t.Cleanup(collector.Close)
			origin := strings.Replace(collector.URL, "127.0.0.1", tt.host, 1)
			tag = strings.ReplaceAll(tt.tag, "https://collect.example", origin)

			b := b.For(t)
			b.Open(origin + "/login").Close()
			p := b.Open(pages.URL + "/page")
			p.WaitFor(`return document.readyState === "complete" && typeof beacon === "object"`)
			p.Eval(`beacon.log("from the page")`, nil)
			p.Navigate(pages.URL + "/elsewhere")
			names := func() (names []string) {
				mu.Lock()
				defer mu.Unlock()
				for _, e := range got {
					if !slices.Contains(names, e.Name) {
						names = append(names, e.Name)
					}
					if e.Request.Origin != pages.URL || e.Page != pages.URL+"/page" || e.Attrs["user"] != tt.user {
						t.Errorf("%s of %s, page %s, user %q", e.Name, e.Request.Origin, e.Page, e.Attrs["user"])
					}
				}
				slices.Sort(names)
				return names
			}
			for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
				if refused := h.Stats().Refused[beacon.ReasonOrigin]; tt.listed && len(names()) == 2 || !tt.listed && refused >= 2 {
					break
				}
			}
			want, refused := "[log session]", false
			if !tt.listed {
				want, refused = "[]", true
			}
			if n := fmt.Sprint(names()); n != want || h.Stats().Refused[beacon.ReasonOrigin] > 0 != refused {
				t.Errorf("%s arrived, want %s; %v", n, want, h.Stats().Refused)
			}
		})
	}
}
