package intake

import (
	"sync"
	"time"
)

// A budget bounds the bytes in memory at a time. Those who do not get theirs wait
// in line, so that a large request is not starved by small ones.
type budget struct {
	mu      sync.Mutex
	free    int64
	waiting []*claim
}

type claim struct {
	n     int64
	ready chan struct{} // closed when granted
}

// acquire takes n bytes, waiting for up to patience.
func (b *budget) acquire(n int64, patience time.Duration) bool {
	b.mu.Lock()
	if b.free >= n && len(b.waiting) == 0 {
		b.free -= n
		b.mu.Unlock()
		return true
	}
	c := &claim{n: n, ready: make(chan struct{})}
	b.waiting = append(b.waiting, c)
	b.mu.Unlock()

	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-c.ready:
		return true
	case <-timer.C:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-c.ready: // granted in the last moment
		return true
	default:
	}
	for i, w := range b.waiting {
		if w == c {
			b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
			break
		}
	}
	b.grant() // those behind may have waited for this one only
	return false
}

func (b *budget) release(n int64) {
	b.mu.Lock()
	b.free += n
	b.grant()
	b.mu.Unlock()
}

// grant serves the line from its head. Callers hold mu.
func (b *budget) grant() {
	for len(b.waiting) > 0 && b.free >= b.waiting[0].n {
		b.free -= b.waiting[0].n
		close(b.waiting[0].ready)
		b.waiting = b.waiting[1:]
	}
}
