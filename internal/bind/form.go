package bind

import (
	"encoding"
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
	v = v.Elem()
	p, err := b.planFor(v.Type())
	if err != nil {
		return nil, err
	}
	values, files, keys, bad := p.sort(n, at)

	// The keys that reach the schema package are ones of its own fields, so what
	// it does with others (indices that panic or allocate, a map entry for each)
	// is out of reach; recover is the second line.
	defer func() {
		if r := recover(); r != nil {
			bad, err = append(bad, Misfit{"body", "", "does not fit"}), nil
		}
	}()
	if decodeErr := decoder.Decode(dst, values); decodeErr != nil {
		multi, ok := errors.AsType[schema.MultiError](decodeErr)
		if !ok {
			return nil, decodeErr
		}
		for _, path := range slices.Sorted(maps.Keys(multi)) {
			bad = append(bad, Misfit{keys[path], strings.Join(values[path], ","), "is not " + textName(p.leaves[path].typ)})
		}
	}
	for path, list := range files {
		p.leaves[path].setFiles(v, list)
	}
	slices.SortStableFunc(bad, func(a, b Misfit) int { return strings.Compare(a.Key, b.Key) })
	return bad, nil
}

// decoder does the conversions. Its types stay in this file.
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

// A plan is what is known of a struct type: the paths that the schema package
// understands, and how form keys lead to them.
type plan struct {
	file   reflect.Type
	leaves map[string]*leaf  // by path
	folded map[string]string // path with "_" for "." in lower case -> path
}

// A leaf is a field that takes values.
type leaf struct {
	typ    reflect.Type // of one value
	index  []int
	slice  bool
	tagged bool // named by a tag: matched exactly
	isFile bool
}

func (b *Forms) planFor(t reflect.Type) (*plan, error) {
	if cached, ok := b.plans.Load(t); ok {
		if err, bad := cached.(error); bad {
			return nil, err
		}
		return cached.(*plan), nil
	}
	p := &plan{file: b.file, leaves: map[string]*leaf{}, folded: map[string]string{}}
	if err := p.add(t, "", nil); err != nil {
		err = fmt.Errorf("%v: %w", t, err)
		b.plans.Store(t, err)
		return nil, err
	}
	b.plans.Store(t, p)
	return p, nil
}

var (
	durationType        = reflect.TypeFor[time.Duration]()
	timeType            = reflect.TypeFor[time.Time]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// add collects the fields of t under prefix. Types that cannot be filled from
// text, slices of structs among them, are left out: they may be there for JSON.
func (p *plan) add(t reflect.Type, prefix string, index []int) error {
	if t.Kind() != reflect.Struct {
		return errors.New("not a struct")
	}
	if len(index) > 4 {
		return nil // a recursive type, perhaps; forms do not go that deep
	}
	for i := range t.NumField() {
		f := t.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("schema"), ",")
		if f.Anonymous && !f.IsExported() && f.Type.Kind() == reflect.Pointer {
			return fmt.Errorf("field %s: an embedded pointer to an unexported type cannot be set", f.Name)
		}
		promotes := f.Anonymous && f.Type.Kind() == reflect.Struct // exported fields, of whatever type
		if tag == "-" || !f.IsExported() && !promotes {
			continue
		}
		if options != "" {
			return fmt.Errorf("field %s: schema option %q is not supported", f.Name, options)
		}
		switch f.Type.Kind() {
		case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
			if !isText(f.Type) && f.Tag.Get("json") != "-" {
				return fmt.Errorf("field %s: nothing that is sent fits a %v, tag it `json:\"-\" schema:\"-\"`", f.Name, f.Type.Kind())
			}
			continue
		}
		l := &leaf{typ: f.Type, index: append(slices.Clip(slices.Clone(index)), i), tagged: tag != ""}
		if l.typ.Kind() == reflect.Slice && !isText(l.typ) {
			l.slice, l.typ = true, l.typ.Elem()
		}
		l.isFile = l.typ == p.file
		if !l.isFile && l.typ.Kind() == reflect.Pointer {
			l.typ = l.typ.Elem()
		}
		path := prefix + tag
		if tag == "" {
			path = prefix + f.Name
		}
		switch {
		case l.isFile, l.typ == timeType, isText(l.typ), isScalar(l.typ):
			if strings.Contains(tag, ".") {
				return fmt.Errorf("field %s: write %q for keys with dots", f.Name, strings.ReplaceAll(tag, ".", "_"))
			}
			if l.slice && !l.isFile && (!isScalar(l.typ) || f.Type.Elem().Kind() == reflect.Pointer) {
				return fmt.Errorf("field %s: a slice of %v is not supported, tag it \"-\"", f.Name, f.Type.Elem())
			}
			fold := foldKey(path)
			if other, ok := p.folded[fold]; ok {
				if other != path {
					return fmt.Errorf("%q and %q are the same key", path, other)
				}
				if len(p.leaves[path].index) < len(l.index) {
					continue // the embedded field is shadowed, as in Go
				}
			}
			p.leaves[path], p.folded[fold] = l, path
		case l.typ.Kind() == reflect.Struct && !l.slice:
			under := path + "."
			if f.Anonymous && tag == "" {
				under = prefix // its fields are promoted
			}
			if err := p.add(l.typ, under, l.index); err != nil {
				return err
			}
		}
	}
	return nil
}

func isText(t reflect.Type) bool {
	return t.Implements(textUnmarshalerType) || reflect.PointerTo(t).Implements(textUnmarshalerType)
}

func isScalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	}
	return false
}

func foldKey(key string) string { return strings.ToLower(strings.ReplaceAll(key, ".", "_")) }

// find returns the path that a form key leads to, and whether key is the path
// itself rather than a spelling of it.
func (p *plan) find(key string) (path string, exact bool) {
	if p.leaves[key] != nil {
		return key, true
	}
	path, ok := p.folded[foldKey(key)]
	if !ok || p.leaves[path].tagged && strings.ReplaceAll(key, ".", "_") != strings.ReplaceAll(path, ".", "_") {
		return "", false
	}
	return path, false
}

// sort distributes the fields of a form to paths, and says which key leads to
// each. It takes care of what the schema package gets wrong, and reports two keys
// that claim the same field.
func (p *plan) sort(n int, at func(i int) Field) (values map[string][]string, files map[string][]any, keys map[string]string, bad []Misfit) {
	values, files, keys = map[string][]string{}, map[string][]any{}, map[string]string{}
	for _, exactPass := range []bool{true, false} {
		for i := range n {
			f := at(i)
			path, exact := p.find(f.Name)
			if path == "" || exact != exactPass {
				continue
			}
			l := p.leaves[path]
			key, again := keys[path]
			switch {
			case again && key != f.Name:
				bad = append(bad, Misfit{f.Name, f.Value, "same field as " + strconv.Quote(key)})
				continue
			case (f.File != nil) != l.isFile:
				bad = append(bad, Misfit{f.Name, f.Value, "file and value mistaken for each other"})
			case f.File != nil:
				files[path] = append(files[path], f.File)
			case again && !l.slice: // the first one counts
			default:
				if why := l.refuse(f.Value); why != "" {
					bad = append(bad, Misfit{f.Name, f.Value, why})
				} else {
					values[path] = append(values[path], strings.Clone(f.Value)) // it outlives the form
				}
			}
			keys[path] = f.Name
		}
	}
	return values, files, keys, bad
}

// refuse says why a value does not fit that the schema package would accept.
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

// setFiles stores files in the field of v, which must be reachable: a nil
// embedded or nested pointer on the way is filled.
func (l *leaf) setFiles(v reflect.Value, files []any) {
	for _, i := range l.index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
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
