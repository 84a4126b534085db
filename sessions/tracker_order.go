package sessions

// A list has visits in the order in which they were pushed.
type list struct{ first, last *visit }

// push puts a visit at the end, out of the list that it was in.
func (l *list) push(v *visit) {
	if v == l.last {
		return
	}
	if v.in != nil {
		v.in.remove(v)
	}
	v.in, v.prev = l, l.last
	if l.last != nil {
		l.last.next = v
	} else {
		l.first = v
	}
	l.last = v
}

func (l *list) remove(v *visit) {
	if v.prev != nil {
		v.prev.next = v.next
	} else {
		l.first = v.next
	}
	if v.next != nil {
		v.next.prev = v.prev
	} else {
		l.last = v.prev
	}
	v.in, v.prev, v.next = nil, nil, nil
}

// A heap has the visit that is due first on top.
type heap []entry

type entry struct {
	due   int64
	visit *visit
}

// first returns nil if there is none that is due before a time.
func (h heap) first(before int64) *visit {
	if len(h) == 0 || h[0].due >= before {
		return nil
	}
	return h[0].visit
}

// set puts a visit in, or moves it.
func (h *heap) set(v *visit, due int64) {
	if v.slot == 0 {
		*h = append(*h, entry{})
		v.slot = int32(len(*h))
	}
	h.put(int(v.slot)-1, entry{due, v})
}

func (h *heap) remove(v *visit) {
	if v.slot == 0 {
		return
	}
	i, last := int(v.slot)-1, len(*h)-1
	x := (*h)[last]
	(*h)[last] = entry{}
	*h = (*h)[:last]
	if i < last {
		h.put(i, x)
	}
	v.slot = 0
}

// put puts an entry where the i-th was, and from there to its place.
func (h heap) put(i int, x entry) {
	for i > 0 && x.due < h[(i-1)/4].due {
		h.at(i, h[(i-1)/4])
		i = (i - 1) / 4
	}
	for {
		least, due := 0, x.due
		for c := 4*i + 1; c <= 4*i+4 && c < len(h); c++ {
			if h[c].due < due {
				least, due = c, h[c].due
			}
		}
		if least == 0 {
			break
		}
		h.at(i, h[least])
		i = least
	}
	h.at(i, x)
}

func (h heap) at(i int, x entry) {
	h[i] = x
	x.visit.slot = int32(i) + 1
}

// A fifo gives back what was pushed first.
type fifo[T any] struct {
	items []T
	head  int
}

func (q *fifo[T]) len() int { return len(q.items) - q.head }

func (q *fifo[T]) push(x T) {
	if q.head > 64 && q.head > len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, x)
}

// keep leaves out what is not to be kept.
func (q *fifo[T]) keep(wanted func(T) bool) {
	kept := q.items[:0]
	for _, x := range q.items[q.head:] {
		if wanted(x) {
			kept = append(kept, x)
		}
	}
	clear(q.items[len(kept):])
	q.items, q.head = kept, 0
}

func (q *fifo[T]) pop() (x T) {
	x, q.items[q.head] = q.items[q.head], x
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return x
}
