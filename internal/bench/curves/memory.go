package curves

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/bench/e2e/proc"
)

// A Memory is a curve: what a server takes while something is kept there, by how much it
// is.
type Memory struct {
	Server string
	Points []Held
}

// Held is a point of such a curve, in bytes. Each is of a server of its own.
type Held struct {
	N       int   // of what is kept
	There   int   // requests that the server has
	Taken   int   // that it has taken
	Refused int   // that it had no room for
	Base    int64 // resident before
	Peak    int64 // resident at most
	Heap    int64 // live
	Bound   int64 // of Peak
}

// A weight is what is kept, and where.
type weight struct {
	server server
	burden burden
	each   int  // of what is kept, with each connection
	waits  bool // the Sink does, once the server has settled
	stays  bool // a request is not answered, or refused after a while
}

const target = "POST /b HTTP/1.1\r\nHost: beacon.test\r\n"

// text is a request with a body of which only the beginning is sent.
func text(size int, begin string) []byte {
	return fmt.Appendf(nil, "%sContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", target, size, begin)
}

// eventsEach are the events of a request of [batch].
const eventsEach = 1000

// batch is a request of many events, in as few bytes as possible.
func batch() []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(strings.Repeat("0\n", eventsEach)))
	if err := errors.Join(err, w.Close()); err != nil {
		panic(err) // a buffer takes all
	}
	return fmt.Appendf(nil, "%sContent-Type: application/x-ndjson\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", target, b.Len(), &b)
}

// The senders of bodies have 16 KiB left for eight seconds, which is slow and not so slow
// that a server that others wait for gives up.
var (
	idleConnections = weight{burden: burden{First: text(2, "hi")}, each: 1}
	slowBodies      = weight{
		burden: burden{First: text(64<<10, strings.Repeat("a", 48<<10)), Then: bytes.Repeat([]byte("a"), 512), Every: 250 * time.Millisecond},
		each:   1, stays: true,
	}
	waitingEvents = weight{
		waits: true, burden: burden{First: batch()},
		each: eventsEach, stays: true,
	}
)

// measure returns the point of a curve.
func (w weight) measure(n int, settle time.Duration) (Held, error) {
	p, addr, err := serve(w.server, -1, 0)
	if err != nil {
		return Held{}, err
	}
	held, err := w.put(p, addr, n, settle)
	return held, errors.Join(err, p.Stop())
}

func (w weight) put(p *proc.Process, addr string, n int, settle time.Duration) (held Held, err error) {
	held.N = n
	before, err := w.settled(p, addr)
	if err != nil {
		return held, err
	}
	if held.Base, err = p.RSS(); err != nil {
		return held, err
	}
	conns := n / w.each
	held.Bound = w.server.bound(held.Base, conns)
	if conns > 0 {
		h, err := hold(addr, conns, w.burden)
		if err != nil {
			return held, err
		}
		defer h.release()
		if err := w.arrived(p, h, settle, before, &held); err != nil {
			return held, err
		}
	}
	if held.Peak, err = p.PeakRSS(); err != nil {
		return held, err
	}
	var s state
	err = p.Ask(ask{Collect: true}, &s)
	held.Heap = s.Heap
	return held, err
}

// settled has a server work a little, so that it has what it needs in any case, and
// returns how it is then.
func (w weight) settled(p *proc.Process, addr string) (s state, err error) {
	for range 5 {
		h, err := hold(addr, 8, idleConnections.burden)
		if err != nil {
			return s, err
		}
		err = h.allTaken()
		h.release()
		if err != nil {
			return s, err
		}
	}
	if err := p.Ask(ask{Settle: true, Wait: w.waits}, &s); err != nil {
		return s, err
	}
	const peak = "5" // what to forget, see proc(5)
	return s, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.PID), []byte(peak), 0)
}

// arrived waits until the server has all that was sent, or has answered, and counts. To
// settle is how long it gets for that at least.
func (w weight) arrived(p *proc.Process, h *holder, settle time.Duration, before state, held *Held) error {
	if !w.stays {
		held.Taken = len(h.conns)
		return h.allTaken()
	}
	time.Sleep(settle)
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		var s state
		if err := p.Ask(ask{}, &s); err != nil {
			return err
		}
		// The server counts: a refusal may be on its way until the rest of a body has come.
		held.There = int(s.Handler.Active)
		held.Taken = int(s.Handler.Delivered - before.Handler.Delivered)
		held.Refused = int(s.Handler.Refused[beacon.ReasonTooBusy] + s.Handler.Failed)
		if held.There+held.Taken+held.Refused == len(h.conns) {
			return nil
		}
		if time.Since(begun) > time.Minute {
			return fmt.Errorf("of %d requests %d are there after a minute, %d were taken, and these refused: %v", len(h.conns), held.There, held.Taken, s.Handler.Refused)
		}
	}
}
