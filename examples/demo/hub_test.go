package main

import (
	"slices"
	"strconv"
	"testing"
)

func TestHub(t *testing.T) {
	h := newHub(3, 1000)
	for i := range 5 {
		h.add(item{data: []byte(strconv.Itoa(i + 1))})
	}
	for _, tt := range []struct {
		pos, missed uint64
		want        []string
	}{
		{0, 2, []string{"3", "4", "5"}},
		{1, 1, []string{"3", "4", "5"}},
		{2, 0, []string{"3", "4", "5"}},
		{4, 0, []string{"5"}},
		{5, 0, nil},
		{9, 0, nil},
	} {
		n := h.since(tt.pos)
		var got []string
		for _, it := range n.items {
			got = append(got, string(it.data))
		}
		if !slices.Equal(got, tt.want) || n.missed != tt.missed {
			t.Errorf("since(%d) = %v, %d missed; want %v, %d", tt.pos, got, n.missed, tt.want, tt.missed)
		}
	}
	for id, want := range map[string]uint64{h.id(4): 4, "": 0, "another-4": 0, h.run + "-x": 0} {
		if got := h.position(id); got != want {
			t.Errorf("position(%q) = %d, want %d", id, got, want)
		}
	}
	before := h.since(5)
	h.count(func() []byte { return []byte("new") })
	select {
	case <-before.changed:
	default:
		t.Error("count woke nobody")
	}
	a, b := h.since(5), h.since(0)
	if string(a.stats) != "new" || &a.stats[0] != &b.stats[0] {
		t.Errorf("counters of two readers: %q, %q; want one for all", a.stats, b.stats)
	}
}

// TestHubRoom: what is kept is bounded in bytes too.
func TestHubRoom(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sizes []int
		want  []int
	}{
		{"all fit", []int{30, 30, 40}, []int{30, 30, 40}},
		{"the oldest go", []int{30, 30, 30, 30}, []int{30, 30, 30}},
		{"several go for one", []int{30, 30, 30, 90}, []int{90}},
		{"one that is too large stays", []int{30, 300}, []int{300}},
		{"and goes", []int{30, 300, 30}, []int{30}},
		{"too many", []int{1, 2, 3, 4, 5, 6, 7}, []int{4, 5, 6, 7}},
	} {
		h := newHub(4, 100)
		for _, size := range tt.sizes {
			h.add(item{data: make([]byte, size)})
		}
		var got []int
		n := h.since(0)
		for _, it := range n.items {
			got = append(got, len(it.data))
		}
		if !slices.Equal(got, tt.want) || n.missed != uint64(len(tt.sizes)-len(tt.want)) {
			t.Errorf("%s: %v and %d missed, want %v", tt.name, got, n.missed, tt.want)
		}
	}
}
