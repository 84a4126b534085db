package sessions_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/visits"
	"github.com/pagebeacon/beacon/sessions"
)

// pageViews is what events tell, each on its own.
func pageViews(events []beacon.Event) []beacon.PageView {
	views := make([]beacon.PageView, 0, len(events))
	for _, e := range events {
		if v, ok := (sessions.Source{}).PageView(e); ok {
			views = append(views, v)
		}
	}
	return views
}

// TestCases: visits from real life are the sessions that they were.
func TestCases(t *testing.T) {
	for _, c := range visits.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			got := sessions.Of(pageViews(c.Events), sessions.Rules{})
			if diff := cmp.Diff(c.Want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
