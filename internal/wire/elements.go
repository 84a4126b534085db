package wire

import "bytes"

// Elements walks over the texts of the elements of a JSON array, without caring whether
// those are valid: an element that is not must not cost its neighbours. It follows quotes
// and brackets only; what is left when they do not close is the last element.
type Elements struct {
	b    []byte
	pos  int    // where the next one starts; more than len(b) at the end
	rest []byte // the last: what is behind the array is not valid, but not lost either
}

// ElementsOf returns the elements of the JSON array in b. If it is none ok is false, and
// there is one: b itself.
func ElementsOf(b []byte) (e Elements, ok bool) {
	array := bytes.TrimSpace(b)
	if len(array) == 0 || array[0] != '[' {
		return Elements{pos: 1, rest: b}, false
	}
	return Elements{b: array, pos: 1}, true
}

// Next returns the next element, or ok false behind the last.
func (e *Elements) Next() (item []byte, ok bool) {
	for e.pos <= len(e.b) {
		if item = e.next(); len(item) > 0 {
			return item, true
		}
	}
	item, e.rest = e.rest, nil
	return item, len(item) > 0
}

// next returns what is up to the next comma, which may be nothing.
func (e *Elements) next() []byte {
	b, start, depth := e.b, e.pos, 0
	for i := start; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = skipString(b, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 && b[i] == ']' {
				e.b, e.pos, e.rest = nil, 1, bytes.TrimSpace(b[i+1:])
				return bytes.TrimSpace(b[start:i])
			}
			depth = max(0, depth-1)
		case ',':
			if depth == 0 {
				e.pos = i + 1
				return bytes.TrimSpace(b[start:i])
			}
		}
	}
	e.pos = len(b) + 1
	return bytes.TrimSpace(b[start:])
}

// Count returns how many there are, or most+1 if they are more. It does not move e.
func (e Elements) Count(most int) (n int) {
	for n <= most {
		if _, ok := e.Next(); !ok {
			break
		}
		n++
	}
	return n
}

// SplitJSONArray returns the [Elements] of b, and no more than one beyond maxItems.
func SplitJSONArray(b []byte, maxItems int) (items [][]byte, ok bool) {
	elements, ok := ElementsOf(b)
	if !ok {
		return nil, false
	}
	for item, more := elements.Next(); more && len(items) <= maxItems; item, more = elements.Next() {
		items = append(items, item)
	}
	return items, true
}
