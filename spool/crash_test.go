package spool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

// full asks for the large counts.
var full = os.Getenv("SPOOL_FULL") == "1"

// scale is n, or with SPOOL_FULL=1 more.
func scale(n, more int) int {
	if full {
		return more
	}
	return n
}

// makeEvent makes an event of any kind. Its ID is its session and its number there.
func makeEvent(session string, number int, rng *rand.Rand) beacon.Event {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	e := beacon.Event{ID: fmt.Sprintf("%s-%d", session, number), Session: session, Time: at, Received: at}
	noise := make([]byte, rng.IntN(400))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	switch rng.IntN(5) {
	case 0:
		e.Body = beacon.Text(noise)
	case 1:
		e.Body = beacon.Binary{Type: "a/b", Data: noise}
	case 2:
		e.Body = beacon.JSON(fmt.Sprintf(`{"a":{"n":%d,"pad":%q}}`, number, strings.Repeat("x", rng.IntN(900))))
	case 3:
		e.Body = beacon.Text(bytes.Repeat([]byte{0, '{', '}'}, rng.IntN(200)))
	default:
		e.Body = beacon.Form{{Name: "n", Value: strconv.Itoa(number)}, {Name: string(noise[:len(noise)/4])}}
	}
	return e
}

// form returns the JSON form of an event.
func form(e beacon.Event) string {
	b, err := e.AppendJSON(nil)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func split(id string) (session string, number int) {
	session, text, _ := strings.Cut(id, "-")
	number, err := strconv.Atoi(text)
	if err != nil {
		panic(id)
	}
	return session, number
}

// A mark says that something became of an event after so many operations.
type mark struct {
	id string
	n  int
	at time.Time
}

// A history is what a spool and those around it did.
type history struct {
	mu        sync.Mutex
	fs        *memFS
	sent      map[string]string // the JSON form of what was passed to Consume
	acked     []mark
	delivered []mark
	problems  []string
	known     map[string]string // sent in an earlier life
	passed    map[string]bool   // those that may be, see mayBePassed
}

func newHistory(fs *memFS) *history { return &history{fs: fs, sent: map[string]string{}} }

// consume passes events to the spool and notes what it said.
func (h *history) consume(s *Spool, events ...beacon.Event) error {
	h.mu.Lock()
	for _, e := range events {
		h.sent[e.ID] = form(e)
	}
	h.mu.Unlock()
	var ids []string
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	err := s.Consume(context.Background(), events)
	if err == nil {
		n, at := h.fs.now(), time.Now()
		h.mu.Lock()
		for _, id := range ids {
			h.acked = append(h.acked, mark{id, n, at})
		}
		h.mu.Unlock()
	}
	return err
}

// took notes what the sink behind the spool took.
func (h *history) took(events []beacon.Event) {
	n := h.fs.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range events {
		h.delivered = append(h.delivered, mark{e.ID, n, time.Now()})
		want, ok := h.sent[e.ID]
		if !ok {
			want, ok = h.known[e.ID]
		}
		switch got := form(e); {
		case !ok:
			h.problems = append(h.problems, "delivered but never sent: "+got)
		case got != want:
			h.problems = append(h.problems, "delivered "+got+", sent "+want)
		}
	}
}

// mayBePassed notes that events may be passed by those behind them: the next sink named
// them, or did not take one although nothing else was asked of it.
func (h *history) mayBePassed(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.passed == nil {
		h.passed = map[string]bool{}
	}
	h.passed[id] = true
}

// until returns what was done after n operations.
func until(marks []mark, n int) map[string]bool {
	ids := map[string]bool{}
	for _, m := range marks {
		if m.n <= n {
			ids[m.id] = true
		}
	}
	return ids
}

// firsts returns the IDs without repeats, in order.
func firsts(marks []mark) []string {
	seen := map[string]bool{}
	var ids []string
	for _, m := range marks {
		if !seen[m.id] {
			ids = append(ids, m.id)
		}
		seen[m.id] = true
	}
	return ids
}

// disorder returns the first event that came after a later one of its session,
// repeats and the events to ignore apart.
func disorder(ids []string, ignore map[string]bool) string {
	last := map[string]int{}
	for _, id := range ids {
		session, n := split(id)
		if ignore[id] {
			continue
		}
		if n < last[session] {
			return fmt.Sprintf("%s after %s-%d", id, session, last[session])
		}
		last[session] = n
	}
	return ""
}

// deadLetters returns the events in dead-letter files, by ID.
func deadLetters(fs *memFS) (map[string]string, error) {
	dead := map[string]string{}
	for name, data := range fs.files() {
		seq, suffix, ok := parseName(name)
		if !ok || suffix != deadSuffix {
			continue
		}
		scan := newScanner(bytes.NewReader(data), seq, 0, int64(len(data)))
		for {
			payload, g, err := scan.next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return nil, err
			}
			if g != nil {
				continue
			}
			var d deadLetter
			if err := json.Unmarshal(payload, &d); err != nil {
				return nil, err
			}
			var e beacon.Event
			if err := json.Unmarshal(d.Event, &e); err != nil {
				return nil, err
			}
			dead[e.ID] = form(e)
		}
	}
	return dead, nil
}

var errAway = errors.New("away")

// A weather is what the sink of a scenario does with a call: whether it is there,
// and the events that it cannot take.
type weather struct {
	rng    *rand.Rand
	mu     sync.Mutex
	calls  int
	down   bool
	flaky  bool
	refuse func(id string) error
}

func (w *weather) set(down, flaky bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down, w.flaky = down, flaky
}

func (w *weather) say(events []beacon.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	if w.down || w.flaky && w.rng.IntN(3) == 0 {
		return errAway
	}
	if w.flaky && w.rng.IntN(2) == 0 {
		// It takes the others, and each session in order.
		locked, _ := split(events[w.rng.IntN(len(events))].ID)
		var failed []int
		for i, e := range events {
			if session, _ := split(e.ID); session == locked || w.refuse(e.ID) != nil {
				failed = append(failed, i)
			}
		}
		return &beacon.PartialError{Failed: failed, Err: errAway}
	}
	for i := range events {
		if err := w.refuse(events[i].ID); err != nil {
			return err
		}
	}
	return nil
}

func crashOptions(sync Sync) Options {
	return mustOptions(Options{
		Sync: sync, SegmentBytes: 4096, MaxBytes: 1 << 20, BatchEvents: 6, BatchBytes: 4000,
		MemoryBytes: 3000, MaxTries: 3, Timeout: time.Second,
	})
}

// poison says for which events of a session the sink of a scenario fails.
func poison(n int) bool { return n%23 == 7 }

// scenario lives through a few lives of a spool and returns what was done.
func scenario(t *testing.T, seed uint64, sync Sync) *history {
	h := newHistory(newMemFS(nil))
	synctest.Test(t, func(t *testing.T) {
		next := map[string]int{}
		for life := range 3 {
			live(t, h, rand.New(rand.NewPCG(seed, uint64(life))), crashOptions(sync), next)
		}
	})
	if len(h.problems) > 0 {
		t.Fatalf("seed %d: %v", seed, h.problems)
	}
	return h
}

func live(t *testing.T, h *history, rng *rand.Rand, o Options, numbers map[string]int) {
	w := &weather{rng: rand.New(rand.NewPCG(rng.Uint64(), 0)), refuse: func(id string) error {
		switch _, n := split(id); {
		case n%17 == 5:
			return fmt.Errorf("%w: do not like it", beacon.ErrPermanent)
		case poison(n):
			return errors.New("poison")
		}
		return nil
	}}
	w.set(rng.IntN(2) == 0, false)
	s, err := start(h.fs, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		err := w.say(events)
		failed, _, named := delivery.Failed(err, len(events))
		if named || len(events) == 1 {
			for _, i := range failed {
				h.mayBePassed(events[i].ID)
			}
		}
		if len(failed) == len(events) {
			return err
		}
		time.Sleep(time.Millisecond)
		var took []beacon.Event
		for i := range events {
			if !slices.Contains(failed, i) {
				took = append(took, events[i])
			}
		}
		h.took(took)
		return err
	}), o)
	if err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for i := range 3 {
		session := string(rune('a' + i))
		rng := rand.New(rand.NewPCG(rng.Uint64(), 1))
		first := numbers[session]
		calls := 4 + rng.IntN(4)
		numbers[session] += 3 * calls
		writers.Go(func() {
			for call := range calls {
				// At the same instant as the others, often, so that they share a sync.
				time.Sleep(time.Duration(rng.IntN(3)) * 20 * time.Millisecond)
				var events []beacon.Event
				for k := range 1 + rng.IntN(3) {
					events = append(events, makeEvent(session, first+3*call+k+1, rng))
				}
				if err := h.consume(s, events...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 4 {
		time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
		w.set(rng.IntN(3) == 0, rng.IntN(2) == 0)
	}
	writers.Wait()
	if rng.IntN(2) == 0 {
		w.set(false, true)
		time.Sleep(2 * time.Second)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(3))*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	if h.fs.handles != 0 {
		t.Errorf("%d files were left open", h.fs.handles)
	}
}

// A life is what was known before a power cut.
type life struct {
	sent      map[string]string
	acked     map[string]bool // and must come again unless delivered
	delivered map[string]bool
	order     []string // of the first deliveries
	passed    map[string]bool
}

// after says what was known when the power went after n operations. In the mode
// Interval that is only what was taken an interval before, and in Never nothing.
func (h *history) after(n int, sync Sync) life {
	l := life{sent: h.sent, passed: h.passed, acked: map[string]bool{}, delivered: until(h.delivered, n)}
	for _, m := range h.acked {
		if m.n <= n && (sync == Always || sync.mode == syncInterval && m.at.Before(h.fs.ops[n-1].at.Add(-sync.every))) {
			l.acked[m.id] = true
		}
	}
	for _, m := range h.delivered {
		if m.n <= n {
			l.order = append(l.order, m.id)
		}
	}
	return l
}

// recovery opens a spool on what a power cut left, has it deliver everything,
// stores some more, and returns what it did and what is wrong with that.
func (l life) recovery(fs *memFS, o Options) (*history, error) {
	h := newHistory(fs)
	h.known = l.sent
	s, err := start(fs, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		h.took(events)
		return nil
	}), o)
	if err != nil {
		return h, err
	}
	defer s.Close(ctxEnded()) // if it was not closed below
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	fresh := beacon.Event{ID: fmt.Sprintf("fresh-%d", len(l.sent)), Session: "fresh", Body: beacon.Empty{}}
	if err := h.consume(s, fresh); err != nil {
		return h, err
	}
	if err := s.Flush(ctx); err != nil {
		return h, fmt.Errorf("flush: %w, %+v", err, s.Stats())
	}
	if st := s.Stats(); st.Pending != 0 || st.DiskErrors != 0 {
		return h, fmt.Errorf("%+v", st)
	}
	if err := s.Close(ctx); err != nil {
		return h, fmt.Errorf("close: %w", err)
	}
	if fs.handles != 0 {
		return h, fmt.Errorf("%d files were left open", fs.handles)
	}
	return h, l.verify(h, fresh.ID)
}

func (l life) verify(h *history, fresh string) error {
	if len(h.problems) > 0 {
		return errors.New(h.problems[0])
	}
	dead, err := deadLetters(h.fs)
	if err != nil {
		return err
	}
	buried := map[string]bool{}
	for id, got := range dead {
		buried[id] = true
		if want := l.sent[id]; got != want {
			return fmt.Errorf("dead letter %s, sent %s", got, want)
		}
	}
	came := until(h.delivered, len(h.fs.ops))
	for _, id := range slices.Sorted(maps.Keys(l.acked)) {
		if !came[id] && !l.delivered[id] && !buried[id] {
			return fmt.Errorf("lost: %s", id)
		}
	}
	if fresh != "" && !came[fresh] {
		return errors.New("what was stored after the restart was skipped")
	}
	again := firsts(h.delivered)
	if d := disorder(again, nil); d != "" {
		return fmt.Errorf("out of order: %s", d)
	}
	seen := maps.Clone(l.delivered)
	for _, id := range again {
		if !seen[id] {
			l.order = append(l.order[:len(l.order):len(l.order)], id)
		}
	}
	var order []mark
	for _, id := range l.order {
		order = append(order, mark{id: id})
	}
	// Some may be passed by what comes behind them.
	maps.Copy(buried, l.passed)
	for id := range l.sent {
		if _, n := split(id); poison(n) {
			buried[id] = true
		}
	}
	if d := disorder(firsts(order), buried); d != "" {
		return fmt.Errorf("out of order, with what came before the cut: %s", d)
	}
	for name := range h.fs.files() {
		if strings.HasSuffix(name, dataSuffix) {
			return fmt.Errorf("%s was not removed", name)
		}
	}
	return nil
}

// A job is a power cut to try.
type job struct {
	fs     *memFS
	life   life
	what   string
	seed   uint64
	double bool
}

// explore cuts the power after each operation of a history in all ways, with so
// many random ones each, and in one of so many recoveries again. It returns how
// many times that was and what went wrong, and ends early if that is too much.
func explore(h *history, seed uint64, o Options, random, doubles, most int) (states int, failures []string) {
	jobs := make(chan job)
	var mu sync.Mutex
	var count atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for j := range jobs {
				mu.Lock()
				enough := len(failures) >= most
				mu.Unlock()
				if enough {
					continue
				}
				count.Add(1)
				again, err := j.life.recovery(j.fs, o)
				if err == nil && j.double {
					var n int
					n, err = again.cutAgain(j, o)
					count.Add(int64(n))
				}
				if err != nil {
					mu.Lock()
					failures = append(failures, fmt.Sprintf("seed %d, %s: %v", seed, j.what, err))
					mu.Unlock()
				}
			}
		})
	}
	d := newDisk(h.fs.base)
	for n := range h.fs.ops {
		last := &h.fs.ops[n]
		d.apply(last)
		l := h.after(n+1, o.Sync)
		send := func(how cut, tear, try int) {
			s := seed<<32 | uint64(n)<<8 | uint64(try)
			rng := rand.New(rand.NewPCG(s, uint64(how)))
			jobs <- job{
				fs: d.crash(how, last, tear, rng), life: l, seed: s, double: doubles > 0 && rng.IntN(doubles) == 0,
				what: fmt.Sprintf("cut %d, tear %d, try %d after operation %d (%s)", how, tear, try, n, last),
			}
		}
		send(loseAll, 0, 0)
		send(keepAll, 0, 0)
		for try := range random {
			send(keepSome512, 0, try)
			send(keepSome4096, 0, try)
		}
		if last.kind == opWrite {
			size := len(last.data)
			tears := []int{1 + int(seed+uint64(n))%max(1, size-1), size - 1}
			for edge := 512 - int(last.off%512); edge < size; edge += 512 {
				tears = append(tears, edge)
			}
			for _, tear := range tears {
				send(tearLast, tear, 0)
			}
		}
	}
	close(jobs)
	workers.Wait()
	return int(count.Load()), failures
}

// cutAgain cuts the power a second time, at a few places of the recovery from the first.
func (h *history) cutAgain(j job, o Options) (states int, err error) {
	rng := rand.New(rand.NewPCG(j.seed, 77))
	d := newDisk(h.fs.base)
	for n := range h.fs.ops {
		d.apply(&h.fs.ops[n])
		if rng.IntN(4) != 0 {
			continue
		}
		l := j.life
		l.sent = maps.Clone(l.sent)
		maps.Copy(l.sent, h.sent)
		l.acked = maps.Clone(l.acked)
		if o.Sync == Always {
			maps.Copy(l.acked, until(h.acked, n+1))
		}
		l.delivered = maps.Clone(l.delivered)
		maps.Copy(l.delivered, until(h.delivered, n+1))
		l.order = slices.Clone(l.order)
		for _, m := range h.delivered {
			if m.n <= n+1 {
				l.order = append(l.order, m.id)
			}
		}
		states++
		how := cut(rng.IntN(int(tearLast)))
		if _, err := l.recovery(d.crash(how, nil, 0, rng), o); err != nil {
			return states, fmt.Errorf("second cut %d after operation %d (%s): %w", how, n, &h.fs.ops[n], err)
		}
	}
	return states, nil
}

func report(t *testing.T, failures []string) {
	t.Helper()
	slices.Sort(failures)
	for _, f := range failures[:min(5, len(failures))] {
		t.Error(f)
	}
	if len(failures) > 5 {
		t.Errorf("and %d more", len(failures)-5)
	}
}

func TestPowerCutsLoseNothing(t *testing.T) {
	t.Parallel()
	states := 0
	for seed := range uint64(scale(4, 20)) {
		h := scenario(t, seed, Always)
		n, failures := explore(h, seed, crashOptions(Always), 1, 20, 8)
		states += n
		report(t, failures)
	}
	t.Log(states, "states")
}

// Without a sync there are losses, but nothing wrong comes, and the cursor does not
// skip what is stored later.
func TestPowerCutsWithoutSync(t *testing.T) {
	t.Parallel()
	for _, sync := range []Sync{Never, Interval(25 * time.Millisecond)} {
		states := 0
		for seed := range uint64(scale(1, 8)) {
			h := scenario(t, 100+seed, sync)
			n, failures := explore(h, 100+seed, crashOptions(sync), 1, 20, 8)
			states += n
			report(t, failures)
		}
		t.Logf("%+v: %d states", sync, states)
	}
}

// without returns the history as a spool would have made it that leaves out some
// operations.
func (h *history) without(drop func(*op) bool) *history {
	out := &history{fs: &memFS{base: h.fs.base}, sent: h.sent}
	place := []int{0} // in the new operations, of each number of old ones
	for i := range h.fs.ops {
		if !drop(&h.fs.ops[i]) {
			out.fs.ops = append(out.fs.ops, h.fs.ops[i])
		}
		place = append(place, len(out.fs.ops))
	}
	for _, m := range h.acked {
		out.acked = append(out.acked, mark{m.id, place[m.n], m.at})
	}
	for _, m := range h.delivered {
		out.delivered = append(out.delivered, mark{m.id, place[m.n], m.at})
	}
	return out
}

// early returns the history as of a spool that removes a segment as soon as it is
// ended.
func (h *history) early() *history {
	removed := map[string]bool{}
	for i := range h.fs.ops {
		if o := &h.fs.ops[i]; o.kind == opRemove {
			removed[o.name] = true
		}
	}
	out := h.without(func(o *op) bool { return o.kind == opRemove })
	for i := range out.fs.ops { // the last operation on a segment is the end of it
		if o := &out.fs.ops[i]; o.kind == opTruncate && removed[o.name] {
			out.fs.ops[i] = op{kind: opRemove, name: o.name, at: o.at}
		}
	}
	return out
}

// What the tests above would say of a worse spool, or of a disk that lies.
func TestPowerCutsAreNoticed(t *testing.T) {
	t.Parallel()
	h := scenario(t, 1, Always)
	for name, bad := range map[string]*history{
		"no sync of files":             h.without(func(o *op) bool { return o.kind == opSync }),
		"no sync of the directory":     h.without(func(o *op) bool { return o.kind == opSyncDir }),
		"no sync of dead letters":      h.without(func(o *op) bool { return o.kind == opSync && strings.HasSuffix(o.name, deadSuffix) }),
		"segments removed early":       h.early(),
		"acknowledged before the sync": h.hasty(),
	} {
		_, failures := explore(bad, 1, crashOptions(Always), 0, 0, 60)
		lost := slices.DeleteFunc(failures, func(f string) bool { return !strings.Contains(f, "lost: ") })
		if len(lost) == 0 {
			t.Errorf("%s: went unnoticed", name)
		}
		t.Logf("%s: %d states lost events", name, len(lost))
	}
}

// hasty returns the history as of a spool that answers one operation too early.
func (h *history) hasty() *history {
	out := h.without(func(*op) bool { return false })
	for i := range out.acked {
		out.acked[i].n--
	}
	return out
}
