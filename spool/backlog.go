package spool

import (
	"fmt"
	"io"
	"slices"

	"github.com/pagebeacon/beacon"
)

// A tail is the events that were stored last, in memory, so that they need not be
// read back. There is no gap in it, and none between it and the end of the log; if
// an event does not fit, the tail ends until the delivery has caught up.
type tail struct {
	chunks []chunk
	bytes  int64    // what they weigh
	read   position // how far the delivery got; chunks follow it or a gap
}

// A chunk is a group that was written.
type chunk struct {
	after position // where the log ended before
	start position
	calls [][]beacon.Event
	ends  []int // from start, behind each event
	bytes int64

	weight int64 // of the events in memory, or their bytes on disk if that is more
}

func (c *chunk) end() position {
	return position{c.start.segment, c.start.offset + c.bytes}
}

func (t *tail) add(g *group, after, start position, limit int64) {
	end := t.read
	if len(t.chunks) > 0 {
		end = t.chunks[len(t.chunks)-1].end()
	}
	if end == after && t.bytes+g.weight <= limit {
		t.chunks = append(t.chunks, chunk{after, start, g.calls, g.ends, g.size, g.weight})
		t.bytes += g.weight
	}
}

// take returns the next chunk if it is in memory, and else how far to read.
func (t *tail) take(committed position) (c chunk, ok bool, limit position) {
	if len(t.chunks) == 0 {
		return c, false, committed
	}
	c = t.chunks[0]
	if c.after != t.read {
		return chunk{}, false, c.after
	}
	t.chunks[0] = chunk{}
	if len(t.chunks) > 1 {
		t.chunks = t.chunks[1:]
	} else {
		t.chunks = t.chunks[:0] // where the next one has room
	}
	t.bytes -= c.weight
	t.read = c.end()
	return c, true, t.read
}

// A backlog is what was read and is not in the hands of the courier yet, and how to read
// more.
type backlog struct {
	s       *Spool
	waiting []stored
	next    int // of them

	f    file
	scan *scanner
}

// A stored event is one with its place on disk.
type stored struct {
	event beacon.Event
	at    position
	bytes int64
}

// fill gives the courier what it has a use for, or all there is.
func (b *backlog) fill() error {
	s := b.s
	for events, bytes := s.courier.Room(); events > 0 && bytes > 0; {
		if b.next < len(b.waiting) {
			e := &b.waiting[b.next]
			s.courier.Add(e.event, e.bytes, e.at)
			events, bytes = events-1, bytes-e.bytes
			*e = stored{} // which lets go of what it points to
			b.next++
			continue
		}
		b.waiting, b.next = b.waiting[:0], 0
		s.mu.Lock()
		c, ok, limit := s.tail.take(s.committed)
		from := s.tail.read
		s.mu.Unlock()
		if ok {
			b.closeFile() // it will be a while until the disk is needed again
			b.addChunk(&c)
			continue
		}
		if !from.before(limit) {
			break
		}
		if err := b.read(from, limit); err != nil {
			return err
		}
	}
	return nil
}

// settle notes how far everything is delivered or buried.
func (b *backlog) settle() {
	s := b.s
	s.mu.Lock()
	read := s.tail.read
	s.mu.Unlock()
	if b.next < len(b.waiting) {
		read = b.waiting[b.next].at
	}
	settled := read
	var keep []uint64 // segments with what is held
	for at := range s.courier.Held() {
		if at.before(settled) {
			settled = at
		}
		if n := len(keep); n == 0 || keep[n-1] != at.segment {
			keep = append(keep, at.segment)
		}
	}
	s.advance(read, settled, keep)
}

func (b *backlog) addChunk(c *chunk) {
	last, i := 0, 0
	for _, events := range c.calls {
		for _, e := range events {
			at := position{c.start.segment, c.start.offset + int64(last)}
			b.waiting = append(b.waiting, stored{e, at, int64(c.ends[i] - last)})
			last = c.ends[i]
			i++
		}
	}
}

// read reads one record, or passes one gap or end of a segment.
func (b *backlog) read(from, limit position) error {
	s := b.s
	if b.scan == nil || b.scan.seq != from.segment || b.scan.off != from.offset {
		if ok, err := b.openFile(from, limit); err != nil || !ok {
			return err
		}
		from = position{b.scan.seq, b.scan.off}
	}
	b.scan.end = s.limit(from.segment, limit)
	payload, g, err := b.scan.next()
	switch {
	case err == io.EOF && from.segment == limit.segment:
		s.readTo(limit)
		return nil
	case err == io.EOF:
		b.closeFile()
		s.readTo(position{from.segment + 1, 0})
		return nil
	case err != nil:
		return err
	}
	at := position{b.scan.seq, b.scan.off}
	if g != nil {
		if err := b.keepAside(g); err != nil {
			b.closeFile() // to come to it again
			return fmt.Errorf("keep what is damaged: %w", err)
		}
		s.readTo(at)
		return nil
	}
	n := int64(frameSize + len(payload))
	start := position{at.segment, at.offset - n}
	var e beacon.Event
	if err := e.UnmarshalJSON(payload); err != nil {
		if later(payload) {
			s.keepForLater(start)
		} else if err := s.buryPayload(payload, err); err != nil {
			b.closeFile()
			return err
		}
		s.readTo(at)
		return nil
	}
	b.waiting = append(b.waiting, stored{e, start, n})
	s.readTo(at)
	return nil
}

func (s *Spool) readTo(at position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tail.read = at
}

// limit is where reading a segment ends.
func (s *Spool) limit(seq uint64, limit position) int64 {
	if seq == limit.segment {
		return limit.offset
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limits[seq]
}

// openFile opens the segment at from, or the first one behind it. It returns false if there
// is none up to limit.
func (b *backlog) openFile(from, limit position) (bool, error) {
	b.closeFile()
	s := b.s
	s.mu.Lock()
	i, exact := slices.BinarySearch(s.segments, from.segment)
	found := i < len(s.segments)
	if found && !exact {
		from = position{s.segments[i], 0}
	}
	s.mu.Unlock()
	if !found || limit.before(from) {
		s.readTo(limit)
		return false, nil
	}
	f, err := s.fs.open(segmentName(from.segment, dataSuffix))
	if err != nil {
		return false, err
	}
	b.f, b.scan = f, newScanner(f, from.segment, from.offset, 0)
	b.scan.exact = true
	return true, nil
}

func (b *backlog) closeFile() {
	if b.f != nil {
		_ = b.f.Close() // it was only read
		b.f, b.scan = nil, nil
	}
}
