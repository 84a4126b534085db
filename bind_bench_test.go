package beacon

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/gorilla/schema"
)

// What the forms and the JSON of the benchmarks are bound to.
type (
	benchTimes struct {
		Start int64  `schema:"start"`
		End   int64  `schema:"end"`
		Msg   string `schema:"msg"`
	}
	benchItems struct {
		Event string `json:"event"`
		Items []struct {
			Name  string   `json:"name"`
			Value float64  `json:"value"`
			Tags  []string `json:"Tags"`
		} `json:"items"`
	}
	benchFlat struct {
		Start int64  `json:"start"`
		End   int64  `json:"end"`
		Msg   string `json:"msg"`
	}
)

const benchFlatJSON = `{"start":1700000000000,"end":1700000012345,"msg":"session ended after a click on save"}`

// TestBindAllocations holds the budgets of binding.
func TestBindAllocations(t *testing.T) {
	form := []Event{benchEvent(t, "multipart/form-data; boundary="+benchBoundary, benchMP3)}
	bound := 0
	on := On(func(_ context.Context, _ Event, v benchTimes) error {
		if v.Start == 1700000000000 && v.Msg != "" {
			bound++
		}
		return nil
	})
	onJSON := On(func(_ context.Context, _ Event, v benchFlat) error {
		if v.Start == 1700000000000 && v.Msg != "" {
			bound++
		}
		return nil
	})
	onItems := On(func(_ context.Context, _ Event, v benchItems) error {
		if len(v.Items) == 5 && len(v.Items[4].Tags) == 2 {
			bound++
		}
		return nil
	})
	object, items := []Event{{Body: JSON(benchFlatJSON)}}, []Event{{Body: JSON(benchJ300)}}
	ctx := t.Context()
	for _, c := range []struct {
		name   string
		budget float64
		f      func() error
	}{
		{"On, form of 3", 2, func() error { return on.Consume(ctx, form) }},       // the struct, its string
		{"On, JSON of 3", 2, func() error { return onJSON.Consume(ctx, object) }}, // the same
		// Of each item its name, its list of 2, and where it stands, for what does not fit.
		{"On, JSON of 300 bytes", 29, func() error { return onItems.Consume(ctx, items) }},
		{"Bind, form of 3", 2, func() error { // the same
			var v benchTimes
			return form[0].Bind(&v)
		}},
	} {
		if got := testing.AllocsPerRun(100, func() {
			if err := c.f(); err != nil {
				t.Error(c.name, err)
			}
		}); got > c.budget {
			t.Errorf("%s: %v allocations, budget %v", c.name, got, c.budget)
		}
	}
	if bound < 300 {
		t.Errorf("bound %d times", bound)
	}
}

// BenchmarkOn measures what On adds to an event that is there already, beside the libraries
// that do the same for values and text.
func BenchmarkOn(b *testing.B) {
	ctx := context.Background()
	form := []Event{benchEvent(b, "multipart/form-data; boundary="+benchBoundary, benchMP3)}
	consume := func(s Sink, events []Event) func(b *testing.B) {
		return func(b *testing.B) {
			benchCPU(b, 0, func() {
				if err := s.Consume(ctx, events); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
	b.Run("form3", consume(On(func(_ context.Context, e Event, v benchTimes) error { return nil }), form))
	b.Run("form3/schema", func(b *testing.B) {
		d := schema.NewDecoder()
		d.IgnoreUnknownKeys(true)
		benchCPU(b, 0, func() {
			values := map[string][]string{}
			for _, f := range form[0].Body.(Form) {
				values[f.Name] = append(values[f.Name], f.Value)
			}
			var v benchTimes
			if err := d.Decode(&v, values); err != nil {
				b.Fatal(err)
			}
		})
	})
	flat := []Event{{Body: JSON(benchFlatJSON)}}
	b.Run("json3", consume(On(func(_ context.Context, e Event, v benchFlat) error { return nil }), flat))
	b.Run("json3/stdlib", func(b *testing.B) {
		benchCPU(b, 0, func() {
			var v benchFlat
			if err := json.Unmarshal(flat[0].Body.(JSON), &v); err != nil {
				b.Fatal(err)
			}
		})
	})
	nested := []Event{{Body: JSON(benchJ300)}}
	b.Run("j300", consume(On(func(_ context.Context, e Event, v benchItems) error { return nil }), nested))
	b.Run("j300/stdlib", func(b *testing.B) {
		benchCPU(b, 0, func() {
			var v benchItems
			if err := json.Unmarshal(benchJ300, &v); err != nil {
				b.Fatal(err)
			}
		})
	})
}
