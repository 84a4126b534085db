package attacks

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// An outcome is what an attack did to a server and to the visitors beside it.
type outcome struct {
	bound      int64 // of the resident memory
	base, peak int64
	visitors   service
	calm       service // of the same visitors by a server beside it, which nobody attacks
	attacker   tally
	cpu        time.Duration // of the server
	busy       float64       // the part of the processors that others took, who are not of the test
	report     report        // after it
}

// perConnection is what a connection of net/http takes: two buffers of 4 KB, the
// goroutine, and the request that is being read.
const perConnection = 22_000

// perStream is what a stream of HTTP/2 takes: half of that, since they share the buffers.
const perStream = 11_000

// run attacks a server.
func run(t *testing.T, s setup, a attack) outcome {
	t.Helper()
	server := start(t, job{Server: &s})
	beside := start(t, job{Server: new(setup{Bare: true, Sink: s.Sink}.in(t))})
	v, w := visit(server.hello.Addr, 20*time.Millisecond), visit(beside.hello.Addr, 20*time.Millisecond)
	time.Sleep(time.Second) // so that the base is that of a server that has worked
	server.ask("/settle")
	o := outcome{}
	o.base, _ = server.memory()
	o.bound = o.base + int64(a.Conns)*(perConnection+int64(a.Streams)*perStream) + 2*(maxInFlight+s.queues())

	a.Addr = server.hello.Addr
	attacker := start(t, job{Attack: &a}, "nice", "-n", "10")
	server.forget()
	v.forget()
	w.forget()
	ours := func() time.Duration { return server.cpu() + beside.cpu() + computed(t, "self") }
	begun, before, ourBefore, allBefore := time.Now(), server.cpu(), ours(), everybody(t)
	attacker.line(&o.attacker)
	_, o.peak = server.memory()
	o.cpu = server.cpu() - before
	others := everybody(t) - allBefore - (ours() - ourBefore) - o.attacker.CPU
	o.busy = min(max(0, float64(others)/float64(time.Since(begun))/float64(runtime.NumCPU())), 0.9)
	o.visitors, o.calm = v.end(), w.end()
	o.report = server.ask("/settle")
	t.Logf("%d MB resident at most (base %d, bound %d), %d MB live after; visitors: %v; calm: %v; attacker: %v; CPU of the server %v; others took %.0f %%",
		o.peak>>20, o.base>>20, o.bound>>20, o.report.Heap>>20, o.visitors, o.calm, &o.attacker, o.cpu.Round(10*time.Millisecond), 100*o.busy)
	return o
}

const (
	// slowest is what the slowest of a hundred beacons may take, on a machine that is
	// left alone.
	slowest = 250 * time.Millisecond

	// leftAlone is what it takes there on a server that nobody attacks: net/http, and a
	// sync to disk where the other one makes it. Where it takes longer, the machine has
	// other things to do, and all may take longer in proportion.
	leftAlone = 20 * time.Millisecond
)

// allowed is what the slowest of a hundred beacons may take on this machine, now. Who gets
// half of the processors is twice as long in line, for twice the time.
func (o outcome) allowed() time.Duration {
	left := 1 - o.busy
	return time.Duration(float64(slowest) * max(1, float64(o.calm.p99)/float64(leftAlone)) / (left * left))
}

// broken says which of the bounds an outcome does not keep.
func (o outcome) broken() (bounds []string) {
	if o.peak > o.bound {
		bounds = append(bounds, fmt.Sprintf("%d MB resident, the bound is %d", o.peak>>20, o.bound>>20))
	}
	if o.visitors.taken() < 0.99 {
		bounds = append(bounds, fmt.Sprintf("%.1f %% of the honest beacons were taken: %v", 100*o.visitors.taken(), o.visitors.statuses))
	}
	if allowed := o.allowed(); o.visitors.p99 > allowed {
		bounds = append(bounds, fmt.Sprintf("the slowest of a hundred honest beacons took %v, and may take %v", o.visitors.p99, allowed))
	}
	return bounds
}

// must fails the test on each bound that was not kept.
func (o outcome) must(t *testing.T) {
	t.Helper()
	for _, b := range o.broken() {
		t.Error(b)
	}
}

// mustNot fails the test if the attack did nothing, which it is to do without a
// protection.
func (o outcome) mustNot(t *testing.T) {
	t.Helper()
	if len(o.broken()) == 0 {
		t.Error("the attack does nothing even without the protection, so it proves nothing")
	}
}
