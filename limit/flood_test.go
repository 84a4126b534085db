package limit_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/limit"
)

// TestFlood: a hundred times as much as all others send, from one network or from a
// thousand. The others lose nothing, and the flood gets what a network may have.
func TestFlood(t *testing.T) {
	const (
		honest  = 20 // networks, each with one beacon a second
		seconds = 10
	)
	for _, networks := range []int{1, 1000} {
		t.Run(fmt.Sprint(networks), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := limit.Options{Events: 10, EventBurst: 20}
				l := newLimiter(t, o)
				h := newHandler(t, l, beacon.Config{})
				taken := 0
				for tick := range seconds * honest {
					if got := status(h, from(fmt.Sprintf("198.51.100.%d", tick%honest), 1)); got != http.StatusNoContent {
						t.Fatalf("an honest beacon: %d", got)
					}
					for i := range 100 {
						n := (tick*100 + i) % networks
						if status(h, from(fmt.Sprintf("203.0.%d.%d", n/256, n%256), 1)) == http.StatusNoContent {
							taken++
						}
					}
					time.Sleep(time.Second / honest)
				}
				if most := networks * (o.EventBurst + seconds*o.Events + 2) / 2; taken > most {
					t.Errorf("the flood got %d through, at most %d are its share", taken, most)
				}
				if s := l.Stats(); s.Evicted > 0 || s.Networks != honest+networks {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// TestEviction: one in debt is not forgotten because many others come and go.
func TestEviction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := limit.Options{Events: 10, EventBurst: 20, Bytes: plenty, Networks: 1024}
		l := newLimiter(t, o)
		config := l.Guard(beacon.Config{})
		debtor := from("203.0.113.7", 1)
		for range 2 * o.EventBurst {
			_ = config.Admit(debtor)
		}
		for range 3 { // and now it has a debt too
			_ = config.Enrich(debtor, &beacon.Event{})
		}
		for i := range 20 * o.Networks {
			if err := config.Admit(from(fmt.Sprintf("198.%d.%d.%d", 18+i>>16, i>>8&255, i&255), 1)); err != nil {
				t.Fatalf("network %d: %v", i, err)
			}
		}
		if config.Admit(debtor) == nil {
			t.Error("20 times as many networks as there is room for made one forget its debt")
		}
		s := l.Stats()
		if s.Networks != o.Networks || s.Evicted != uint64(19*o.Networks+1) {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Minute)
		for i := range o.Networks {
			_ = config.Admit(from(fmt.Sprintf("192.0.%d.%d", i>>8, i&255), 1))
		}
		// Some places had more newcomers than they have room, but most of what had to go
		// was full again.
		if got := l.Stats().Evicted - s.Evicted; got > uint64(o.Networks/4) {
			t.Errorf("%d of %d newcomers cost a network that was not full again its place", got, o.Networks)
		}
	})
}
