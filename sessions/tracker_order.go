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
type heap []*visit

func (h heap) first() *visit {
	if len(h) == 0 {
		return nil
	}
	return h[0]
}

// set puts a visit in, or moves it.
func (h *heap) set(v *visit, due int64) {
	v.due = due
	if v.slot == 0 {
		*h = append(*h, v)
		v.slot = int32(len(*h))
	}
	h.fix(int(v.slot) - 1)
}

func (h *heap) remove(v *visit) {
	if v.slot == 0 {
		return
	}
	i, last := int(v.slot)-1, len(*h)-1
	h.swap(i, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	v.slot = 0
	if i < last {
		h.fix(i)
	}
}

func (h heap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = int32(i)+1, int32(j)+1
}

func (h heap) fix(i int) {
	for i > 0 && h[i].due < h[(i-1)/2].due {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(h); c++ {
			if h[c].due < h[least].due {
				least = c
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
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

func (q *fifo[T]) pop() (x T) {
	x, q.items[q.head] = q.items[q.head], x
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return x
}
