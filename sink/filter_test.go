package sink_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
	"github.com/pagebeacon/beacon/sink"
)

// answer is the status and the Retry-After with which a Handler answers a request
// whose events go to s.
func answer(t *testing.T, s beacon.Sink) string {
	t.Helper()
	h, err := beacon.New(beacon.Config{Sink: s})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, beacontest.NewRequest("/b", beacon.Text("x")))
	return fmt.Sprint(w.Code, " ", w.Header().Get("Retry-After"))
}

func TestFilter(t *testing.T) {
	next := &script{}
	s := sink.Filter(next, func(e beacon.Event) bool {
		return !strings.HasPrefix(e.ID, "-")
	})
	for _, call := range [][]string{{"a", "b"}, {"-a", "b", "-c", "d"}, {"-a"}, {}} {
		if err := s.Consume(t.Context(), counted(call...)); err != nil {
			t.Error(err)
		}
	}
	if d := cmp.Diff([][]string{{"a", "b"}, {"b", "d"}}, next.got()); d != "" {
		t.Error(d)
	}
}

// TestSampleIsStable holds the hash to what the doc comment says: these sessions
// pass at these rates in every version. The limits are their hashes, as computed by
// another implementation, divided by 2^64.
func TestSampleIsStable(t *testing.T) {
	for id, limit := range golden {
		for _, c := range []struct {
			rate float64
			pass bool
		}{{0, false}, {limit - 1e-9, false}, {limit + 1e-9, true}, {1, true}} {
			next := &script{}
			if err := sink.Sample(next, c.rate).Consume(t.Context(), []beacon.Event{{Session: id}}); err != nil {
				t.Error(err)
			}
			if pass := len(next.got()) == 1; pass != c.pass {
				t.Errorf("%q at %v: passes %v", id, c.rate, pass)
			}
		}
	}
}

var golden = map[string]float64{
	"a":                                    0.510294517657,
	"b":                                    0.431262167278,
	"0193f3a0-0000-7000-8000-000000000000": 0.437190422426,
	"café":                                 0.957200977526,
	"session 1":                            0.350187822548,
	"session 2":                            0.804252711517,
}

func TestSampleKey(t *testing.T) {
	const in, out = "b", "a" // of a sample of a half
	events := []beacon.Event{
		{Session: in, View: out, ID: out}, {Session: out, View: in, ID: in},
		{View: in, ID: out}, {View: out, ID: in},
		{ID: in}, {ID: out}, {},
	}
	var got []int
	s := sink.Sample(beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		for _, e := range events {
			got = append(got, int(e.Seq))
		}
		return nil
	}), 0.5)
	for i := range events {
		events[i].Seq = uint64(i)
	}
	if err := s.Consume(t.Context(), events); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff([]int{0, 2, 4, 6}, got); d != "" {
		t.Error(d)
	}
	n := 0
	none := sink.Sample(beacon.SinkFunc(func(context.Context, []beacon.Event) error { n++; return nil }), 0)
	if err := none.Consume(t.Context(), []beacon.Event{{ID: in}, {Session: out}}); err != nil || n != 0 {
		t.Error(err, n)
	}
}

// Ids that differ little, as clients make them, are sampled as if drawn at random.
func TestSampleIsUniform(t *testing.T) {
	const n = 20000
	for _, rate := range []float64{0.001, 0.01, 0.1, 0.5, 0.9} {
		for _, format := range []string{"%d", "%08x", "0193f3a0-0000-7000-8000-%012d", "%d-session-with-the-same-end"} {
			passed := 0
			s := sink.Sample(beacon.SinkFunc(func(context.Context, []beacon.Event) error { passed++; return nil }), rate)
			for i := range n {
				if err := s.Consume(t.Context(), []beacon.Event{{Session: fmt.Sprintf(format, i)}}); err != nil {
					t.Fatal(err)
				}
			}
			if sigma := math.Sqrt(n * rate * (1 - rate)); math.Abs(float64(passed)-n*rate) > 4*sigma {
				t.Errorf("%s at %v: %d of %d, want %.0f ± %.0f", format, rate, passed, n, n*rate, sigma)
			}
		}
	}
}

func TestLog(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	events := []beacon.Event{
		{ID: "1", Time: at, Name: "click", Session: "s", Page: "https://example.com/", Body: beacon.JSON(`{"secret":1}`)},
		{ID: "2\nlevel=ERROR msg=forged", Time: at, Name: "a=\"b\"\x1b[31m", Body: beacon.Empty{}},
		{ID: "3", Body: beacon.Form{{Name: "ab", Value: "cde"}, {Name: "f", File: &beacon.File{Data: make([]byte, 10)}}}},
		{ID: "4", Body: beacon.Text("four")}, {ID: "5", Body: beacon.Binary{Data: make([]byte, 5)}},
		{ID: "6", Body: beacon.Ping{From: "abc", To: "def"}}, {ID: "7", Body: beacon.Report{Body: []byte("1234567")}}, {ID: "8"},
	}
	var out bytes.Buffer
	s := sink.Log(slog.NewTextHandler(&out, nil), slog.LevelWarn)
	if err := s.Consume(t.Context(), events); err != nil {
		t.Error(err)
	}
	want := `time=2026-01-02T03:04:05.000Z level=WARN msg=beacon id=1 kind=json name=click session=s page=https://example.com/ size=12
time=2026-01-02T03:04:05.000Z level=WARN msg=beacon id="2\nlevel=ERROR msg=forged" kind=empty name="a=\"b\"\x1b[31m" size=0
level=WARN msg=beacon id=3 kind=form size=16
level=WARN msg=beacon id=4 kind=text size=4
level=WARN msg=beacon id=5 kind=binary size=5
level=WARN msg=beacon id=6 kind=ping size=6
level=WARN msg=beacon id=7 kind=report size=7
level=WARN msg=beacon id=8 kind="" size=0
`
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Error(d)
	}

	out.Reset()
	s = sink.Log(slog.NewTextHandler(&out, nil), slog.LevelDebug)
	if err := s.Consume(t.Context(), events); err != nil || out.Len() > 0 {
		t.Error(err, out.String())
	}
	if err := errors.Join(s.Flush(t.Context()), s.Healthy(t.Context()), s.Close(t.Context()), s.Close(t.Context())); err != nil {
		t.Error(err)
	}
	for _, err := range []error{s.Consume(t.Context(), events), s.Healthy(t.Context())} {
		if err != sink.ErrClosed {
			t.Error(err)
		}
	}
}

// A fullDisk fails its second write.
type fullDisk struct{ writes int }

var errFullDisk = errors.New("no space left on device")

func (d *fullDisk) Write(b []byte) (int, error) {
	if d.writes++; d.writes == 2 {
		return 0, errFullDisk
	}
	return len(b), nil
}

func TestLogReturnsErrors(t *testing.T) {
	var d fullDisk
	s := sink.Log(slog.NewJSONHandler(&d, nil), slog.LevelInfo)
	if err := s.Consume(t.Context(), counted("a", "b", "c")); says(err) != "temporary 1 2: no space left on device" || !errors.Is(err, errFullDisk) || d.writes != 2 {
		t.Error(err, d.writes)
	}
	d.writes = 1
	if err := s.Consume(t.Context(), counted("b", "c")); says(err) != "temporary: no space left on device" {
		t.Error(err)
	}
}
