package delivery

// A Ring is a line of values that grows as it has to. The zero value is empty. It is not
// safe for concurrent use.
type Ring[E any] struct {
	at      []E
	head, n int
}

// Len returns how many values there are.
func (r *Ring[E]) Len() int { return r.n }

// Push puts a value at the end.
func (r *Ring[E]) Push(e E) {
	if r.n == len(r.at) {
		at := make([]E, max(16, 2*len(r.at)))
		for i := range r.n {
			at[i] = r.at[(r.head+i)%len(r.at)]
		}
		r.at, r.head = at, 0
	}
	r.at[(r.head+r.n)%len(r.at)] = e
	r.n++
}

// Pop takes the first value away.
func (r *Ring[E]) Pop() (first E, ok bool) {
	if r.n == 0 {
		return first, false
	}
	var zero E
	first, r.at[r.head] = r.at[r.head], zero
	r.head, r.n = (r.head+1)%len(r.at), r.n-1
	return first, true
}

// Fit gives back the memory of an empty ring that has grown beyond so many values.
func (r *Ring[E]) Fit(most int) {
	if r.n == 0 && len(r.at) > most {
		r.at, r.head = nil, 0
	}
}

// Delete takes away those that which says. The others keep their order.
func (r *Ring[E]) Delete(which func(e *E) bool) {
	for range r.n {
		e, _ := r.Pop()
		if !which(&e) {
			r.Push(e)
		}
	}
}
