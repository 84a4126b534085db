package pair_test

import (
	"errors"
	"math"
	"os"
	"testing"
	"time"

	"github.com/pagebeacon/beacon/internal/bench/pair"
)

// machine is one on which time passes only for what is done, at a speed that changes
// with each round.
type machine struct {
	now   time.Duration
	slow  int // how many times dearer everything is
	turns []string
}

func (m *machine) subject(name string, each time.Duration) pair.Subject {
	return pair.Subject{
		Name: name,
		Run: func(n int) error {
			m.now += time.Duration(n*m.slow) * each
			m.turns = append(m.turns, name)
			return nil
		},
		CPU:    func() (time.Duration, error) { return m.now, nil },
		Before: func() {},
	}
}

// TestPart: what a subject takes over the floor, as a part of another.
func TestPart(t *testing.T) {
	m := &machine{slow: 1}
	results, err := pair.Measure(pair.Options{Rounds: 5, Slice: time.Millisecond}, m.subject("floor", 1000), m.subject("own", 1300), m.subject("other", 3000))
	if err != nil {
		t.Fatal(err)
	}
	if median, least := results[1].Part(results[2]); math.Abs(median-0.1) > 1e-9 || math.Abs(least-0.1) > 1e-9 {
		t.Error(median, least)
	}
	if r := results[1]; math.Abs(r.Ratio-1/1.3) > 1e-9 {
		t.Error(r.Ratio)
	}
}

// TestFit: the slope is that of all points, and one large one that is off does not decide.
func TestFit(t *testing.T) {
	x := []float64{1, 10, 100, 1000}
	if got := pair.Fit(x, []float64{105, 150, 600, 5100}); math.Abs(got-5) > 1e-9 {
		t.Error(got)
	}
	if got := pair.Fit(x, []float64{105, 150, 600, 10_200}); got < 5 || got > 7 {
		t.Error(got)
	}
}

// TestMeasure: on a machine that is now fast and now slow, what is dearer by half stays so.
func TestMeasure(t *testing.T) {
	m := &machine{slow: 1}
	floor := m.subject("floor", 1000)
	run, rounds := floor.Run, 0
	floor.Run = func(n int) error {
		rounds++
		m.slow = 1 + rounds%2
		return run(n)
	}
	results, err := pair.Measure(pair.Options{Rounds: 40, Slice: time.Millisecond}, floor, m.subject("same", 1000), m.subject("half", 2000))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ over, ratio float64 }{{0, 1}, {0, 1}, {1000, 0.5}} {
		r := results[i]
		if r.OverMin != want.over || r.RatioMin != want.ratio {
			t.Errorf("%s: %+v", r.Name, r)
		}
		if math.Abs(r.Ratio-want.ratio) > 0.6*want.ratio || math.Abs(r.Over-want.over) > 600 || r.Low > r.Over || r.Over > r.High || len(r.Slices) != 40 {
			t.Errorf("%s: %+v", r.Name, r)
		}
	}
}

// TestTurns: nobody is always first, and nobody is always behind the same.
func TestTurns(t *testing.T) {
	m := &machine{slow: 1}
	const rounds = 12
	if _, err := pair.Measure(pair.Options{Rounds: rounds, Slice: time.Millisecond}, m.subject("a", 10), m.subject("b", 10), m.subject("c", 10)); err != nil {
		t.Fatal(err)
	}
	first, after := map[string]int{}, map[string]int{}
	turns := m.turns[len(m.turns)-3*rounds:]
	for i, name := range turns {
		if i%3 == 0 {
			first[name]++
		} else {
			after[turns[i-1]+name]++
		}
	}
	if len(first) != 3 || len(after) != 6 {
		t.Errorf("first: %v, one after the other: %v", first, after)
	}
}

// TestMemory: what is allocated is counted to the one.
func TestMemory(t *testing.T) {
	var kept [3]*[100]byte
	results, err := pair.Measure(pair.Options{Rounds: 1, Slice: time.Millisecond},
		pair.Subject{Name: "nothing", Run: func(int) error { return nil }},
		pair.Subject{Name: "three", Run: func(n int) error {
			for range n {
				for i := range kept {
					kept[i] = new([100]byte)
				}
			}
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	if r := results[1]; r.AllocsOver != 3 || r.BytesOver != 3*112 {
		t.Errorf("%+v", r)
	}
}

// TestErrors: a subject that fails ends the measurement.
func TestErrors(t *testing.T) {
	m := &machine{slow: 1}
	bad, mistake := m.subject("bad", 10), errors.New("no")
	left := 30
	bad.Run = func(n int) error {
		if left--; left == 0 {
			return mistake
		}
		m.now += time.Millisecond
		return nil
	}
	if _, err := pair.Measure(pair.Options{Rounds: 50, Slice: time.Millisecond}, m.subject("floor", 10), bad); !errors.Is(err, mistake) {
		t.Error(err)
	}
}

// TestClocks: the clock of this process as one of another's is the same, and goes.
func TestClocks(t *testing.T) {
	other := pair.CPUOf(os.Getpid())
	before, err := other()
	if err != nil {
		t.Fatal(err)
	}
	between, err := pair.CPU()
	if err != nil {
		t.Fatal(err)
	}
	for {
		after, err := other()
		if err != nil || before > between || between > after {
			t.Fatal(before, between, after, err)
		}
		if after > before+10*time.Millisecond {
			break
		}
	}
	if _, err := pair.CPUOf(1 << 28)(); err == nil {
		t.Error("a process that there is not has a clock")
	}
}
