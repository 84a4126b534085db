package hosts

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/live"
	"github.com/pagebeacon/beacon/sink"
)

func livePage(mux *http.ServeMux, events beacon.Sink) (*beacon.Handler, *live.Live, error) {
	l, err := live.New(live.Options{})
	if err != nil {
		return nil, nil, err
	}
	h, err := beacon.New(beacon.Config{
		Sink:      sink.Tee(sink.Required(events), sink.BestEffort(l, nil)),
		OnRefused: l.Refused,
	})
	mux.Handle("/admin/live/", requireLogin(l))
	return h, l, err
}

func requireLogin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := userOf(r); !ok {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// TestLivePage: it is behind the host's login, and shows what its own sink has, too.
func TestLivePage(t *testing.T) {
	var events beacontest.Recorder
	mux := http.NewServeMux()
	h, l, err := livePage(mux, &events)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	s := serve(t, h.Middleware(mux)).at("/_pb")
	s.expect(t, s.request(t, jsonBody), http.StatusNoContent, "")
	if n := len(events.Events()); n != 1 {
		t.Errorf("%d events", n)
	}
	for cookie, want := range map[string]int{"of-alice": http.StatusOK, "of-nobody": http.StatusUnauthorized} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.origin+"/admin/live/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.AddCookie(&http.Cookie{Name: "session", Value: cookie})
		if a := s.expect(t, r, want, ""); strings.Contains(a.body, "<html") != (want == http.StatusOK) {
			t.Errorf("%s gets %.80q", cookie, a.body)
		}
	}
}
