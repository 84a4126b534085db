package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/bench/peers"
)

// What follows is where things end: each server counts what it was given, and, when it
// was told to, keeps the last of it in words that are the same for all servers.

func (s *server) took(events int, last func() string) {
	s.events.Add(int64(events))
	if s.Keep {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.last = last()
	}
}

// Consume makes a server a [beacon.Sink].
func (s *server) Consume(_ context.Context, events []beacon.Event) error {
	s.took(len(events), func() string {
		var last string
		var all strings.Builder // of an envelope
		for i := range events {
			switch v := events[i].Body.(type) {
			case beacon.Form:
				last = formText(v.Get("start"), v.Get("end"), v.Get("msg"))
			case beacon.JSON:
				last = string(v)
				if events[i].Seq > 0 {
					all.WriteString(itemText(events[i].Seq, events[i].Name, v))
					last = all.String()
				}
			}
		}
		return last
	})
	return nil
}

// slow is a store that is worth a batch.
func (s *server) slow(ctx context.Context, events []beacon.Event) error {
	time.Sleep(time.Millisecond)
	return s.Consume(ctx, events)
}

func (s *server) ended(v *peers.Ended) error {
	s.took(1, func() string { return formText(v.Start, v.End, v.Msg) })
	return nil
}

func (s *server) vitals(v *peers.Vitals) error {
	s.took(1, func() string {
		b, _ := json.Marshal(v) // it was JSON before
		return string(b)
	})
	return nil
}

func (s *server) envelope(v *peers.Envelope) error {
	s.took(len(v.Events), func() string {
		var b strings.Builder
		for _, e := range v.Events {
			b.WriteString(itemText(e.Seq, e.Name, e.Data))
		}
		return b.String()
	})
	return nil
}

// stored reads back what a database has.
func (s *server) stored(store peers.Store) (int, error) {
	n, last, err := store.All()
	if err != nil || n == 0 {
		return n, err
	}
	var v peers.Ended
	if err := json.Unmarshal(last, &v); err != nil {
		return n, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = formText(v.Start, v.End, v.Msg)
	return n, nil
}

func formText(start, end, msg any) string {
	return fmt.Sprintf("start=%v end=%v msg=%v", start, end, msg)
}

func itemText(seq uint64, name string, data []byte) string {
	return fmt.Sprintf("%d %s %s\n", seq, name, data)
}
