package main

import (
	"encoding/json"
	"slices"
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
			r.add(beacon.Event{Body: beacon.Text("x"), Name: "a\nb", Received: time.UnixMilli(int64(i))}, make(json.RawMessage, size))
		}
		var got []int
		for _, data := range r.all() {
			got = append(got, len(data))
		}
		if !slices.Equal(got, tt.want) || r.last().N != uint64(len(tt.sizes)) {
			t.Errorf("%s: %v, the last is %+v; want %v", tt.name, got, r.last(), tt.want)
		}
		if l := r.last(); len(tt.sizes) > 0 && (l.Kind != "text" || l.Name != `"a\nb"` || l.Time != time.UnixMilli(int64(len(tt.sizes)-1))) {
			t.Errorf("%s: the last is %+v", tt.name, l)
		}
	}
}
