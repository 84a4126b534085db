package browsers

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/client"
)

// storedKeys is what the client has stored, but for the denial itself.
const storedKeys = `return Object.keys(localStorage).filter(k => /^bcn/.test(k) && localStorage[k] !== "denied").length`

func consentPage(h *beacon.Handler, r *http.Request) string {
	return fmt.Sprintf(`<script src="%s" data-endpoint="/_pb" %s async></script>`, h.ScriptURL(), r.URL.Query().Get("attributes"))
}

// TestConsentFailsClosed: what is not exactly consent is none.
func TestConsentFailsClosed(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *Browser, _ *site) {
		for _, value := range []string{"denied", "pending", "Required", "required", "true", " granted"} {
			f := newFixture(t, consentPage)
			p := f.open(b.For(t), `/?attributes=data-consent="`+value+`"`)
			p.Eval(`beacon.log("said without consent"); globalThis.held = new beacon.ReplaceableBeacon("/_pb"); held.replaceData("held without consent")`, nil)
			time.Sleep(pause(1))
			var keys int
			p.Eval(storedKeys, &keys)
			p.Close()
			time.Sleep(pause(1))
			if n := f.count(""); n != 0 || keys != 0 {
				t.Errorf("data-consent=%q: %d events, %d keys stored", value, n, keys)
			}
		}
		f := newFixture(t, consentPage)
		p := f.open(b, `/?attributes=data-consent="granted"`)
		p.Eval(`beacon.log("said with consent")`, nil)
		time.Sleep(pause(1))
		p.Close()
		f.eventually(t, 1, "said with consent", 10*time.Second)
	})
}

// TestReportsAskNobody: what the browser and the page send without the client does not
// wait for consent.
func TestReportsAskNobody(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *Browser, _ *site) {
		var events beacontest.Recorder
		h, err := beacon.New(beacon.Config{Sink: &events})
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewServer(h.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Content-Security-Policy", "script-src 'self' 'unsafe-eval'; img-src 'none'; report-uri /_pb")
			fmt.Fprint(w, "<!doctype html><title>page</title>", h.ScriptTag(client.Tag{Consent: "required"}), `<img src="/forbidden.png" alt="">`)
		})))
		defer srv.Close()
		p := b.Open(srv.URL)
		p.WaitFor(ready)
		p.Eval(`beacon.log("said without consent"); navigator.sendBeacon("/_pb", "sent by hand")`, nil)
		p.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		for _, kind := range []string{"report", "text"} {
			if _, err := events.Wait(ctx, 1, func(e beacon.Event) bool { return e.Body.Kind() == kind }); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
		for _, e := range events.Events() {
			if e.Body.Kind() == "json" {
				t.Errorf("%s was sent without consent", e.Name)
			}
		}
	})
}

// TestDenialIsRemembered: a denial holds in the other tabs and on the next visit,
// until the page says that the visitor has changed their mind.
func TestDenialIsRemembered(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *Browser, _ *site) {
		f := newFixture(t, consentPage)
		one, two := f.open(b, "/one"), f.open(b, "/two")
		one.Eval(`beacon.consent("denied")`, nil)
		time.Sleep(500 * time.Millisecond) // the word spreads
		before := f.count("")
		two.Eval(`beacon.log("said in the other tab")`, nil)
		time.Sleep(pause(1))
		two.Close()
		one.Navigate(f.near + "/one")
		one.WaitFor(ready)
		one.Eval(`beacon.log("said on the next visit")`, nil)
		time.Sleep(pause(1))
		var keys int
		one.Eval(storedKeys, &keys)
		if n := f.count("") - before; n != 0 || keys != 0 {
			t.Errorf("after a denial: %d events, %d keys stored", n, keys)
		}
		one.Eval(`beacon.consent("granted"); beacon.log("said after all")`, nil)
		time.Sleep(pause(1))
		one.Navigate(f.near + "/three")
		one.WaitFor(ready)
		one.Eval(`beacon.log("said ever after")`, nil)
		time.Sleep(pause(1))
		one.Close()
		f.eventually(t, 1, "said after all", 10*time.Second)
		f.eventually(t, 1, "said ever after", 10*time.Second)
		f.eventually(t, 0, "said on the next visit", 0)
	})
}

// TestQueue calls the client before its script is there.
func TestQueue(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *Browser, _ *site) {
		for _, consent := range []string{"granted", "denied"} {
			f := newFixture(t, func(h *beacon.Handler, r *http.Request) string {
				queued := string(h.ScriptTag(client.Tag{Queue: true}))
				end := strings.Index(queued, "</script>") + len("</script>")
				return queued[:end] + `<script>
					globalThis.taken = beacon.log;
					beacon.log("said early", {n: 1});
					beacon.consent("` + consent + `");
				</script>` + queued[end:]
			})
			p := f.open(b.For(t), "/")
			p.WaitFor(`return !!beacon.PendingPostBeacon`)
			p.Eval(`taken("said by what was taken early"); beacon.log("said late")`, nil)
			time.Sleep(pause(1))
			p.Close()
			want := 1
			if consent == "denied" {
				want = 0
			}
			for _, text := range []string{"said early", "said by what was taken early", "said late"} {
				f.eventually(t, want, text, 10*time.Second)
			}
		}
	})
}
