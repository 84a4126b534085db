package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
)

// TestRecent: what is kept is bounded in number and in bytes.
func TestRecent(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sizes []int
		want  []int
	}{
		{"none", nil, nil},
		{"all fit", []int{30, 30, 40}, []int{30, 30, 40}},
		{"the oldest go", []int{30, 30, 30, 30}, []int{30, 30, 30}},
		{"several go for one", []int{30, 30, 30, 90}, []int{90}},
		{"one that is too large stays", []int{30, 300}, []int{300}},
		{"and goes", []int{30, 300, 30}, []int{30}},
		{"too many", []int{1, 2, 3, 4, 5, 6, 7}, []int{4, 5, 6, 7}},
	} {
		r := recent{keep: 4, room: 100}
		for i, size := range tt.sizes {
			e := beacon.Event{Body: beacon.Text("x"), Name: "a\nb", Received: time.UnixMilli(int64(i))}
			r.add(arrival{Event: e, data: make(json.RawMessage, size)})
		}
		var got []int
		for _, data := range r.all() {
			got = append(got, len(data))
		}
		last, n := r.since(0)
		if !slices.Equal(got, tt.want) || n != uint64(len(tt.sizes)) || len(last) != len(tt.sizes) {
			t.Errorf("%s: %v, of %d the page is told of %d; want %v", tt.name, got, n, len(last), tt.want)
		}
		for i, c := range last {
			if c.N != uint64(i+1) || c.Kind != "text" || c.Name != `"a\nb"` || c.Time != float64(i) {
				t.Errorf("%s: the page is told %+v", tt.name, c)
			}
		}
	}
}

// TestSince: the page hears of each event once, and of the last ones only.
func TestSince(t *testing.T) {
	r := recent{keep: 10, room: 1000}
	for range told + 5 {
		r.add(arrival{Event: beacon.Event{Body: beacon.JSON(`{"a":1}`)}, data: []byte("{}")})
	}
	for after, want := range map[uint64][2]uint64{0: {6, told + 5}, 5: {6, told + 5}, 6: {7, told + 5}, told + 4: {told + 5, told + 5}, told + 5: {}, 1000: {6, told + 5}, 1<<64 - 1: {6, told + 5}} {
		came, n := r.since(after)
		var got [2]uint64
		if len(came) > 0 {
			got = [2]uint64{came[0].N, came[len(came)-1].N}
		}
		if got != want || n != told+5 {
			t.Errorf("since %d: %d, want %d; %d in all", after, got, want, n)
		}
	}
	if came, _ := r.since(told + 4); len(came) != 1 || came[0].JSON != `{"a":1}` {
		t.Errorf("the last is %+v", came)
	}

	// The server has started again, and the page is still there.
	r.begin()
	r.add(arrival{Event: beacon.Event{Body: beacon.Empty{}}, data: []byte("{}")})
	for after, want := range map[uint64]int{0: 1, told: 1, told + 5: 1, told + 6: 0, 1000: 1} {
		if came, n := r.since(after); len(came) != want || n != told+6 {
			t.Errorf("since %d, of a run before or of this one: %d", after, len(came))
		}
	}
	r.clear()
	if came, n := r.since(0); len(came) > 0 || n != told+6 {
		t.Errorf("cleared: %+v, %d", came, n)
	}
}

// TestCame: what the page is told of an event is no longer than what somebody reads.
func TestCame(t *testing.T) {
	long := strings.Repeat("ä", 50_000)
	a, err := newArrival(beacon.Event{ID: "1", Name: "x" + long, Query: beacon.Form{{Name: "kind", Value: long}},
		Body: beacon.JSON(`{"start":1700000000000,"end":1700000001000,"msg":"` + long + `"}`)})
	if err != nil {
		t.Fatal(err)
	}
	told, err := json.Marshal(a.came())
	if err != nil || len(told) > 5000 || bytes.ContainsRune(told, '\uFFFD') || bytes.Contains(told, []byte(`\\x`)) {
		t.Errorf("%d bytes, %v: %.3000s", len(told), err, told)
	}
}
