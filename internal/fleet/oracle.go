package fleet

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash/maphash"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/visits"
	"github.com/pagebeacon/beacon/sessions"
	"github.com/pagebeacon/beacon/store"
)

// base is when the visits of this process begin. Nothing that they send is older than a
// handler believes, or of the future.
var base = time.Now().Add(-72 * time.Hour).UTC().Truncate(time.Second)

// requestsOf returns what visit i sends.
func requestsOf(i int) []visits.Request {
	return visits.Requests(rand.New(rand.NewPCG(12, uint64(i))), fmt.Sprintf("v%07d", i), base)
}

// A want is what has to be in a store when all requests of the first visits were taken: what
// one process makes of them, that is fed in order.
type want struct {
	visits, requests int
	lines            map[uint64]int32 // hashes of the events' lossless JSON, and which event each is
	of               []int32          // the visit of each event
	sessions         []string
}

var lineSeed = maphash.MakeSeed()

// wantOf returns what comes of the first visits that send n requests. Those of one number
// are worked out once.
func wantOf(n int) (*want, error) {
	f, _ := wants.LoadOrStore(n, sync.OnceValues(func() (*want, error) { return newWant(n) }))
	return f.(func() (*want, error))()
}

var wants sync.Map

func newWant(n int) (*want, error) {
	w := &want{lines: map[uint64]int32{}}
	var all []sessions.Session
	views, ids := map[string]beacon.PageView{}, map[string]int32{} // of the visit
	var line []byte
	h, err := beacon.New(beacon.Config{Enrich: visits.Played, Sink: beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		for _, e := range events {
			var err error
			if line, err = e.AppendJSON(line[:0]); err != nil {
				return err
			}
			n, twin := ids[e.ID]
			if !twin {
				n = int32(len(w.of))
				ids[e.ID], w.of = n, append(w.of, int32(w.visits))
			}
			sum := maphash.Bytes(lineSeed, line)
			if other, ok := w.lines[sum]; ok && other != n {
				return fmt.Errorf("%w: two events of visits %d and %d are the same", beacon.ErrPermanent, w.of[other], w.visits)
			}
			w.lines[sum] = n
			if v, ok := (sessions.Source{}).PageView(e); ok {
				if before, known := views[v.View]; known {
					v = before.Join(v)
				}
				views[v.View] = v
			}
		}
		return nil
	})})
	if err != nil {
		return nil, err
	}
	for ; w.requests < n; w.visits++ {
		clear(views)
		clear(ids)
		for _, q := range requestsOf(w.visits) {
			r, err := q.HTTP(context.Background(), "http://127.0.0.1")
			if err != nil {
				return nil, err
			}
			a := answer{header: http.Header{}, status: http.StatusOK}
			if h.ServeHTTP(&a, r); a.status/100 != 2 {
				return nil, fmt.Errorf("one process answers %s with %d", q.Body, a.status)
			}
			w.requests++
		}
		var joined []beacon.PageView
		for _, v := range views {
			joined = append(joined, v)
		}
		all = append(all, sessions.Of(joined, sessions.Rules{})...)
	}
	w.sessions = rows(all)
	return w, nil
}

// An answer is a http.ResponseWriter of which only the status matters.
type answer struct {
	header http.Header
	status int
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return len(b), nil }

// rows are sessions as text, all of each, in the order of Start and ID.
func rows(all []sessions.Session) []string {
	slices.SortFunc(all, func(a, b sessions.Session) int {
		if c := a.Start.Compare(b.Start); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	var texts []string
	for _, s := range all {
		s.Start, s.End = s.Start.UTC(), s.End.UTC()
		texts = append(texts, fmt.Sprintf("%+v", s))
	}
	return texts
}

// hashOf is what two tables of sessions have in common if they are the same.
func hashOf(rows []string) string {
	h := sha256.New()
	for _, r := range rows {
		fmt.Fprintln(h, r)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// check compares what is stored with what should be, and returns all that differs.
func (w *want) check(ctx context.Context, s *store.Store) (wrong []string) {
	all, err := s.Sessions(ctx, store.Query{})
	if err != nil {
		return []string{"sessions: " + err.Error()}
	}
	got := rows(all)
	if hashOf(got) != hashOf(w.sessions) {
		wrong = append(wrong, fmt.Sprintf("%d sessions are not the %d of one process", len(got), len(w.sessions)))
		for i := range min(len(got), len(w.sessions)) {
			if got[i] != w.sessions[i] {
				wrong = append(wrong, fmt.Sprintf("first in row %d:\n%s\nis not\n%s", i, got[i], w.sessions[i]))
				break
			}
		}
	}
	return append(wrong, w.checkEvents(ctx, s)...)
}

// checkEvents compares the lossless JSON of all events.
func (w *want) checkEvents(ctx context.Context, s *store.Store) (wrong []string) {
	r, out := io.Pipe()
	go func() {
		_, err := s.Export(ctx, out, store.Query{})
		out.CloseWithError(err)
	}()
	seen := make([]bool, len(w.of))
	twice, strange := 0, 0
	lines := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			if err != io.EOF {
				wrong = append(wrong, "events: "+err.Error())
			}
			break
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		n, known := w.lines[maphash.Bytes(lineSeed, line)]
		switch {
		case !known:
			if strange++; strange == 1 {
				wrong = append(wrong, fmt.Sprintf("an event that nobody sent: %s", line))
			}
			continue
		case seen[n]:
			if twice++; twice == 1 {
				wrong = append(wrong, fmt.Sprintf("an event is there twice: %s", line))
			}
		}
		seen[n] = true
	}
	lost, of := 0, map[int32]bool{}
	for n, ok := range seen {
		if !ok {
			lost++
			of[w.of[n]] = true
		}
	}
	if lost+twice+strange > 0 {
		wrong = append(wrong, fmt.Sprintf("of %d events %d are lost, of %d visits; %d are there twice, %d are not as sent", len(seen), lost, len(of), twice, strange))
	}
	return wrong
}
