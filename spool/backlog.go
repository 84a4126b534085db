package spool

import (
	"fmt"
	"io"
	"math"
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
	t.chunks = t.chunks[1:]
	t.bytes -= c.weight
	t.read = c.end()
	return c, true, t.read
}

// A backlog is what the delivery has in its hands: events that were read and are not
// settled yet, and how to read more.
type backlog struct {
	s      *Spool
	events []beacon.Event
	ends   []position // behind each event
	sizes  []int64

	f    file
	scan *scanner
}

// window is how many events go to the next sink in one call.
func (b *backlog) window() int {
	n, bytes := 0, int64(0)
	for n < len(b.events) && n < b.s.opts.BatchEvents {
		if bytes += b.sizes[n]; n > 0 && bytes > b.s.opts.BatchBytes {
			break
		}
		n++
	}
	return n
}

// fill reads until there is enough for a batch or nothing more to read. When the
// courier is stuck it needs more than a batch, to find an event that is not.
func (b *backlog) fill() error {
	s := b.s
	wantEvents, wantBytes := s.opts.BatchEvents, s.opts.BatchBytes
	if s.courier.Stuck() {
		wantEvents, wantBytes = math.MaxInt, max(wantBytes, s.opts.MemoryBytes)
	}
	bytes := int64(0)
	for _, n := range b.sizes {
		bytes += n
	}
	for len(b.events) < wantEvents && bytes < wantBytes {
		s.mu.Lock()
		c, ok, limit := s.tail.take(s.committed)
		from := s.tail.read
		s.mu.Unlock()
		if ok {
			b.closeFile() // it will be a while until the disk is needed again
			b.addChunk(&c)
			bytes += c.bytes
			continue
		}
		if !from.before(limit) {
			break
		}
		n, err := b.read(from, limit)
		if err != nil {
			return err
		}
		bytes += n
	}
	if len(b.events) == 0 {
		s.mu.Lock()
		at := s.tail.read
		s.mu.Unlock()
		s.advance(at) // past what holds no events
	}
	return nil
}

func (b *backlog) addChunk(c *chunk) {
	for _, events := range c.calls {
		b.events = append(b.events, events...)
	}
	last := 0
	for _, end := range c.ends {
		b.ends = append(b.ends, position{c.start.segment, c.start.offset + int64(end)})
		b.sizes = append(b.sizes, int64(end-last))
		last = end
	}
}

// read reads one record, or passes one gap or end of a segment, and returns how
// many bytes of events that gave.
func (b *backlog) read(from, limit position) (int64, error) {
	s := b.s
	if b.scan == nil || b.scan.seq != from.segment || b.scan.off != from.offset {
		if ok, err := b.openFile(from, limit); err != nil || !ok {
			return 0, err
		}
		from = position{b.scan.seq, b.scan.off}
	}
	b.scan.end = s.limit(from.segment, limit)
	payload, g, err := b.scan.next()
	switch {
	case err == io.EOF && from.segment == limit.segment:
		s.readTo(limit)
		return 0, nil
	case err == io.EOF:
		b.closeFile()
		s.readTo(position{from.segment + 1, 0})
		return 0, nil
	case err != nil:
		return 0, err
	}
	at := position{b.scan.seq, b.scan.off}
	if g != nil {
		if err := b.keepAside(g); err != nil {
			b.closeFile() // to come to it again
			return 0, fmt.Errorf("keep what is damaged: %w", err)
		}
		b.passed(at)
		return 0, nil
	}
	var e beacon.Event
	if err := e.UnmarshalJSON(payload); err != nil {
		if err := s.buryJSON(payload, err); err != nil {
			b.closeFile()
			return 0, err
		}
		b.passed(at)
		return 0, nil
	}
	n := int64(frameSize + len(payload))
	b.events = append(b.events, e)
	b.ends = append(b.ends, at)
	b.sizes = append(b.sizes, n)
	s.readTo(at)
	return n, nil
}

// passed notes that there is nothing to deliver up to at: it is settled with what
// comes before it.
func (b *backlog) passed(at position) {
	if n := len(b.ends); n > 0 {
		b.ends[n-1] = at
	}
	b.s.readTo(at)
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

// settle notes that the first n events were delivered or buried.
func (b *backlog) settle(n int) {
	if n == 0 {
		return
	}
	b.s.advance(b.ends[n-1])
	b.events = slices.Delete(b.events, 0, n) // in place, which lets go of what they point to
	b.ends = slices.Delete(b.ends, 0, n)
	b.sizes = slices.Delete(b.sizes, 0, n)
}
