package main

import (
	"slices"
	"strconv"
	"testing"
)

func TestHub(t *testing.T) {
	h := newHub(3)
	for i := range 5 {
		h.add(item{Session: strconv.Itoa(i + 1)})
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
		items, missed, _ := h.since(tt.pos)
		var got []string
		for _, it := range items {
			got = append(got, it.Session)
		}
		if !slices.Equal(got, tt.want) || missed != tt.missed {
			t.Errorf("since(%d) = %v, %d missed; want %v, %d", tt.pos, got, missed, tt.want, tt.missed)
		}
	}
	for id, want := range map[string]uint64{h.id(4): 4, "": 0, "another-4": 0, h.run + "-x": 0} {
		if got := h.position(id); got != want {
			t.Errorf("position(%q) = %d, want %d", id, got, want)
		}
	}
	_, _, changed := h.since(5)
	h.wake()
	select {
	case <-changed:
	default:
		t.Error("wake woke nobody")
	}
}
