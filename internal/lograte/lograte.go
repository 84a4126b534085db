// Package lograte keeps a flood of requests from becoming a flood of log.
package lograte

import (
	"sync"
	"time"
)

// A Limiter lets one record a second through for each key, of which there are few. The
// zero value is ready to use, concurrently too.
type Limiter struct {
	mu   sync.Mutex
	keys map[string]state
}

type state struct {
	last       time.Time
	suppressed int
}

// Allow says whether a record may be written, and how many were held back since the
// last one.
func (l *Limiter) Allow(key string) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil {
		l.keys = map[string]state{}
	}
	s := l.keys[key]
	if now := time.Now(); now.Sub(s.last) >= time.Second {
		l.keys[key] = state{last: now}
		return s.suppressed, true
	}
	s.suppressed++
	l.keys[key] = s
	return 0, false
}
