package attacks

import (
	"net/http"
	"testing"
	"time"
)

// aShare is what a network may send in the rows below, and no visitor does.
var aShare = share{Events: 2, Burst: 4}

// TestFlood: a hundred times as much as the visitors send, from one network and from a
// thousand, costs them nothing.
func TestFlood(t *testing.T) {
	for name, networks := range map[string]int{"1 network": 1, "1,000 networks": 1000} {
		// In all 5,000 requests a second, beside 50 of the visitors.
		flood := attack{What: "small", Conns: 1000, Networks: networks, Every: 200 * time.Millisecond, For: length(5 * time.Second)}
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			o := run(t, setup{Sink: "spool", Limit: &aShare}.in(t), flood)
			elapsed := time.Since(start)
			o.must(t)
			if lost := o.visitors.beacons - o.visitors.statuses[http.StatusNoContent]; lost > 0 {
				t.Errorf("%d honest beacons of %d were lost: %v", lost, o.visitors.beacons, o.visitors.statuses)
			}
			// On a busy machine the flood may be less than what the networks may send.
			may := float64(networks) * (float64(aShare.Burst) + float64(aShare.Events)*elapsed.Seconds())
			refused, taken := o.attacker.Answers[http.StatusTooManyRequests], o.attacker.Answers[http.StatusNoContent]
			if float64(taken) > may || networks == 1 && refused < taken {
				t.Errorf("%d of the flood were taken and %d refused in %v: the networks may send %.0f", taken, refused, elapsed, may)
			}
		})
	}
}

// TestRefusalIsCheap: what a refused request takes of the processor, beyond what net/http
// takes for any, is at most a third of what one takes that is stored.
func TestRefusalIsCheap(t *testing.T) {
	cost := func(s setup, status int) time.Duration {
		t.Helper()
		server := start(t, job{Server: new(s.in(t))})
		a := attack{Addr: server.hello.Addr, What: "page view", Conns: 8, Requests: 200, For: time.Minute}
		send := func() int {
			attacker := start(t, job{Attack: &a})
			var sent tally
			attacker.line(&sent)
			return sent.Answers[status]
		}
		send() // to warm it up, and to use up the share
		a.Requests = 2000
		before := server.cpu()
		n := send()
		if n < a.Conns*a.Requests*95/100 { // the share comes back slowly
			t.Fatalf("%d of %d were answered %d", n, a.Conns*a.Requests, status)
		}
		return (server.cpu() - before) / time.Duration(n)
	}
	bare := cost(setup{Bare: true}, http.StatusNoContent)
	taken := cost(setup{Sink: "spool"}, http.StatusNoContent)
	refused := cost(setup{Sink: "spool", Limit: &aShare}, http.StatusTooManyRequests)
	t.Logf("net/http alone %v, taken %v, refused %v", bare, taken, refused)
	if refused-bare > (taken-bare)/3 {
		t.Errorf("a refusal takes %v more than net/http alone, and what is taken %v", refused-bare, taken-bare)
	}
}
