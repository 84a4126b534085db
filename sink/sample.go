package sink

import (
	"fmt"

	"github.com/pagebeacon/beacon"
)

// Sample returns a sink that hands on a share of all sessions, about rate of them,
// each whole: it decides by the event's Session, else its View, else its ID. An
// event with none of them passes. What is left out is taken and dropped.
//
// The decision is a pure function of that id and rate, the same in every process
// and every version: an id passes if its 64-bit FNV-1a hash, finished with
// MurmurHash3's fmix64, is less than rate times 2^64. A lower rate passes a subset
// of what a higher one does. So Samples do not multiply: one of 0.1 in front of
// another of 0.1 passes a tenth.
//
// A client chooses these ids, and so can choose to be in the sample. Sample panics
// if next is nil or rate is not a number from 0 to 1.
func Sample(next beacon.Sink, rate float64) Sink {
	mustSink("Sample", next)
	if !(rate >= 0 && rate <= 1) {
		panic(fmt.Sprintf("sink: Sample: rate is not from 0 to 1: %v", rate))
	}
	return Filter(next, func(e beacon.Event) bool {
		id := e.Session
		if id == "" {
			id = e.View
		}
		if id == "" {
			id = e.ID
		}
		return id == "" || rate == 1 || sampleHash(id) < uint64(rate*(1<<64))
	})
}

func sampleHash(id string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 0x100000001b3
	}
	// FNV alone leaves the high bits of short, similar ids much alike.
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
