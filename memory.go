package beacon

import (
	"strings"
	"unsafe"

	"github.com/pagebeacon/beacon/internal/wire"
)

// texts are the strings of an event that are no more than that.
func (e *Event) texts() [6]*string {
	return [...]*string{&e.ID, &e.Name, &e.Page, &e.Session, &e.View, &e.Series}
}

func (r *Request) texts() [12]*string {
	return [...]*string{
		&r.ID, &r.Method, &r.Host, &r.Path, &r.ContentType, &r.Encoding, &r.Origin,
		&r.UserAgent, &r.FetchSite, &r.FetchMode, &r.FetchDest, &r.Purpose,
	}
}

// Size returns how many bytes of memory the event keeps alive: its struct, and the
// contents of its body, query, headers, Attrs and Errors. Memory that it shares with
// other events of its request counts for each of them.
//
// What a [Handler] or [Decode] returns never keeps alive more than twice that and 8
// KiB, also where it stood in a request that was much larger.
func (e Event) Size() int {
	r := &e.Request
	n := int(unsafe.Sizeof(e)) + len(e.ID) + len(e.Name) + len(e.Page) + len(e.Session) + len(e.View) + len(e.Series) + len(e.Mode) +
		len(r.ID) + len(r.Method) + len(r.Host) + len(r.Path) + len(r.ContentType) + len(r.Encoding) + len(r.Origin) +
		len(r.UserAgent) + len(r.FetchSite) + len(r.FetchMode) + len(r.FetchDest) + len(r.Purpose) + e.Query.size()
	switch b := e.Body.(type) {
	case Text:
		n += len(b)
	case JSON:
		n += len(b)
	case Form:
		n += b.size()
	case Binary:
		n += len(b.Type) + len(b.Data)
	case Ping:
		n += len(b.From) + len(b.To)
	case Report:
		n += len(b.Type) + len(b.URL) + len(b.UserAgent) + len(b.Body)
	}
	for k, v := range e.Attrs {
		n += len(k) + len(v) + 2*int(unsafe.Sizeof(k))
	}
	for i := range e.Errors {
		x := &e.Errors[i]
		n += int(unsafe.Sizeof(*x)) + len(x.Key) + len(x.Value) + len(x.Reason)
	}
	return n
}

func (f Form) size() int {
	n := 0
	for i := range f {
		n += int(unsafe.Sizeof(f[i])) + len(f[i].Name) + len(f[i].Value)
		if file := f[i].File; file != nil {
			n += int(unsafe.Sizeof(*file)) + len(file.Name) + len(file.Type) + len(file.Data)
		}
	}
	return n
}

// Clone returns a copy of the event that shares no memory with it, or with anything
// else: it may be kept for long, and what it points to may be changed.
func (e Event) Clone() Event {
	for _, t := range e.texts() {
		*t = strings.Clone(*t)
	}
	for _, t := range e.Request.texts() {
		*t = strings.Clone(*t)
	}
	e.Mode = Mode(strings.Clone(string(e.Mode)))
	e.Query = e.Query.clone()
	switch b := e.Body.(type) {
	case Text:
		e.Body = Text(strings.Clone(string(b)))
	case JSON:
		e.Body = JSON(cloneBytes(b))
	case Form:
		e.Body = b.clone()
	case Binary:
		e.Body = Binary{strings.Clone(b.Type), cloneBytes(b.Data)}
	case Ping:
		e.Body = Ping{strings.Clone(b.From), strings.Clone(b.To)}
	case Report:
		b.Type, b.URL, b.UserAgent, b.Body = strings.Clone(b.Type), strings.Clone(b.URL), strings.Clone(b.UserAgent), cloneBytes(b.Body)
		e.Body = b
	}
	if e.Attrs != nil {
		attrs := make(map[string]string, len(e.Attrs))
		for k, v := range e.Attrs {
			attrs[strings.Clone(k)] = strings.Clone(v)
		}
		e.Attrs = attrs
	}
	if e.Errors != nil {
		errs := make([]FieldError, len(e.Errors))
		for i, x := range e.Errors {
			errs[i] = FieldError{strings.Clone(x.Key), strings.Clone(x.Value), strings.Clone(x.Reason)}
		}
		e.Errors = errs
	}
	return e
}

// clone copies a form. All its strings stand in one block.
func (f Form) clone() Form {
	if f == nil {
		return nil
	}
	n := 0
	for i := range f {
		n += len(f[i].Name) + len(f[i].Value)
		if file := f[i].File; file != nil {
			n += len(file.Name) + len(file.Type)
		}
	}
	block := make([]byte, 0, n)
	text := func(s string) string {
		start := len(block)
		block = append(block, s...)
		return wire.Text(block[start:])
	}
	g := make(Form, len(f))
	for i, x := range f {
		g[i] = Field{Name: text(x.Name), Value: text(x.Value)}
		if x.File != nil {
			g[i].File = &File{text(x.File.Name), text(x.File.Type), cloneBytes(x.File.Data)}
		}
	}
	return g
}

// cloneBytes leaves no room behind, so that nobody appends to what others have.
func cloneBytes(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append(make([]byte, 0, len(b)), b...)
}

// itemCost is about what an event of a batch takes besides what it shares with the
// others and its text: its ID, the box of its body, and a note that it is malformed.
const itemCost = 192

// roomFor asks for the memory of a batch of n events that begin as copies of e.
func (e *Event) roomFor(n, copies int, lim *bounds) error {
	return lim.room(n*(e.Size()+itemCost) + copies)
}

// batchOf makes room for a batch of n events, which begin as copies of the one.
func batchOf(one []Event, n int) []Event {
	if n == 1 {
		return one[:0]
	}
	return make([]Event, 0, n)
}

// slack is up to what an event may keep more alive than itself.
const slack = 4 << 10

// unpin detaches the event from buffers of so many bytes that it shares, if they are
// much larger than it is.
func (e *Event) unpin(buffers int) {
	if buffers > slack && buffers > e.Size()+slack {
		*e = e.Clone()
	}
}

// A cutter cuts the items of a batch out of its body. Each may be kept by itself, so
// those of a large body are copied out.
type cutter struct {
	copies bool
	pages  wire.Pages
}

// newCutter returns one for a body that is in a buffer of so many bytes.
func newCutter(buffer int) cutter { return cutter{copies: buffer > slack} }

// room is how much memory the copies of all items of a body take.
func (c *cutter) room(body []byte) int {
	if c.copies {
		return len(body) + wire.PageSize
	}
	return 0
}

func (c *cutter) cut(item []byte) []byte {
	if c.copies {
		return c.pages.Copy(item)
	}
	return item[:len(item):len(item)]
}

func (c *cutter) text(s string) string {
	if c.copies {
		return strings.Clone(s)
	}
	return s
}
