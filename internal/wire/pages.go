package wire

// Pages copies small things out of a large buffer, a few to a page, so that one that
// is kept for long keeps a page alive and not the buffer. The zero value is ready to
// use.
type Pages struct {
	Expect int // how much will be copied in all, if it is known: the page of a little is small
	free   []byte
}

// PageSize is the most that a copy keeps alive beside itself.
const PageSize = 2 << 10

// Copy returns a copy of b, of which the capacity is the length.
func (p *Pages) Copy(b []byte) []byte {
	if len(b) > PageSize/4 {
		return append(make([]byte, 0, len(b)), b...)
	}
	if len(p.free) < len(b) {
		size := PageSize
		if p.Expect > 0 {
			size = max(min(p.Expect, PageSize), len(b))
			p.Expect = max(1, p.Expect-size) // more than was expected gets what it needs
		}
		p.free = make([]byte, size)
	}
	n := copy(p.free, b)
	c := p.free[:n:n]
	p.free = p.free[n:]
	return c
}
