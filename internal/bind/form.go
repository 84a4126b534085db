package bind

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/schema"
	"github.com/pagebeacon/beacon/internal/wire"
)

// A Field is one field of a form: a value or a file.
type Field struct {
	Name, Value string
	File        any // of the type that the Forms were made for; nil for a value
}

// Forms fills structs from forms, by "schema" tags. It is safe for concurrent use.
type Forms struct {
	file  reflect.Type // of a file
	plans sync.Map     // reflect.Type -> *plan or error
}

// NewForms returns a Forms for which files are of the type given.
func NewForms(file reflect.Type) *Forms { return &Forms{file: file} }

// Check says whether a struct type can be filled.
func (b *Forms) Check(t reflect.Type) error {
	_, err := b.planFor(t)
	return err
}

// Fill fills the struct that dst points to from the n fields that at returns. What does
// not fit is returned in the order of its keys; the error is of a dst that nothing can
// fill.
func (b *Forms) Fill(dst any, n int, at func(i int) Field) (bad []Misfit, err error) {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return nil, fmt.Errorf("%T is not a pointer to a struct", dst)
	}
	p, err := b.planFor(v.Type().Elem())
	if err != nil {
		return nil, err
	}
	var few [16]string // spares most structs an allocation
	keys := few[:]     // by leaf: which one leads to it
	if len(p.leaves) > len(few) {
		keys = make([]string, len(p.leaves))
	}
	x := filler{dst: v.Elem()}
	left := n
	for i := range n {
		f := at(i)
		if l := p.leaves[f.Name]; l != nil {
			x.take(l, f, &keys[l.number])
			left--
		}
	}
	for i := 0; i < n && left > 0; i++ { // behind those of the right spelling
		f := at(i)
		if l := p.similar(f.Name); l != nil {
			x.take(l, f, &keys[l.number])
		}
	}
	if len(x.values) > 0 || !p.calm {
		if err := x.decode(dst, p.leaves, keys); err != nil {
			return nil, err
		}
	}
	for l, list := range x.files {
		l.setFiles(x.dst, list)
	}
	slices.SortStableFunc(x.bad, func(a, b Misfit) int { return strings.Compare(a.Key, b.Key) })
	return x.bad, nil
}

// A filler distributes the fields of a form to those of a struct.
type filler struct {
	dst    reflect.Value
	values map[string][]string // by path: what the schema package is to set
	files  map[*leaf][]any
	bad    []Misfit
}

func (x *filler) misfit(f Field, why string) {
	x.bad = append(x.bad, Misfit{f.Name, f.Value, why})
}

// take takes a field of a form for a leaf; key is the one that leads to it, or empty if
// this is the first. It takes care of what the schema package gets wrong, and reports two
// keys that claim the same leaf.
func (x *filler) take(l *leaf, f Field, key *string) {
	again := *key != ""
	if again && *key != f.Name {
		x.misfit(f, "same field as "+strconv.Quote(*key))
		return
	}
	*key = f.Name
	switch {
	case (f.File != nil) != l.isFile:
		x.misfit(f, "file and value mistaken for each other")
	case l.isFile:
		if x.files == nil {
			x.files = map[*leaf][]any{}
		}
		x.files[l] = append(x.files[l], f.File)
	case again && !l.slice: // the first one counts
	default:
		why := l.refuse(f.Value) // before a pointer is filled, of which nil says that there is nothing
		switch {
		case why != "":
		case l.scalar:
			why = l.set(x.dst, f.Value)
		default:
			if x.values == nil {
				x.values = map[string][]string{}
			}
			x.values[l.path] = append(x.values[l.path], strings.Clone(f.Value)) // it outlives the form
		}
		if why != "" {
			x.misfit(f, why)
		}
	}
}

// decode has the schema package set what is left to it. The error is of a dst that it
// cannot fill.
func (x *filler) decode(dst any, leaves map[string]*leaf, keys []string) (err error) {
	// The keys that reach the schema package are ones of its own fields, so what
	// it does with others (indices that panic or allocate, a map entry for each)
	// is out of reach; recover is the second line.
	defer func() {
		if r := recover(); r != nil {
			x.bad, err = append(x.bad, Misfit{"body", "", "does not fit"}), nil
		}
	}()
	err = decoder.Decode(dst, x.values)
	multi, ok := errors.AsType[schema.MultiError](err)
	for _, path := range slices.Sorted(maps.Keys(multi)) {
		l := leaves[path]
		x.bad = append(x.bad, Misfit{keys[l.number], strings.Join(x.values[path], ","), "is not " + textName(l.typ)})
	}
	if ok {
		return nil
	}
	return err
}

// decoder does the conversions that [leaf.set] does not. Its types stay in this file.
var decoder = func() *schema.Decoder {
	d := schema.NewDecoder()
	d.IgnoreUnknownKeys(true)
	d.ZeroEmpty(true) // else empty members of a []string vanish
	d.RegisterConverter(time.Duration(0), func(s string) reflect.Value {
		if d, ok := wire.ParseDuration(s); ok {
			return reflect.ValueOf(d)
		}
		return reflect.Value{}
	})
	d.RegisterConverter(time.Time{}, func(s string) reflect.Value {
		if t, ok := wire.ParseTime(s); ok {
			return reflect.ValueOf(t)
		}
		return reflect.Value{}
	})
	return d
}()

// refuse says why a value does not fit that would be accepted otherwise.
func (l *leaf) refuse(value string) (why string) {
	if l.slice && isScalar(l.typ) && l.typ.Kind() != reflect.String && strings.Contains(value, ",") {
		return "is not " + textName(l.typ) // it would be split
	}
	switch l.typ.Kind() {
	case reflect.Float32, reflect.Float64:
		if x, err := strconv.ParseFloat(value, 64); err == nil && (math.IsNaN(x) || math.IsInf(x, 0)) {
			return "not a finite number"
		}
	case reflect.String:
		return ""
	}
	if value == "" {
		return "is empty"
	}
	return ""
}

// setFiles stores files in the field of the struct v.
func (l *leaf) setFiles(v reflect.Value, files []any) {
	v = l.reach(v)
	if !l.slice {
		v.Set(reflect.ValueOf(files[0]))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(files), len(files))
	for i, f := range files {
		list.Index(i).Set(reflect.ValueOf(f))
	}
	v.Set(list)
}

// textName says what a value of a form has to be for a Go type.
func textName(t reflect.Type) string {
	switch t {
	case durationType:
		return "a duration"
	case timeType:
		return "a time"
	}
	if isText(t) {
		return "a valid value"
	}
	return kindName(t)
}
