package beacon

import (
	"context"
	"encoding"
	"encoding/json"
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
)

// Bind fills the struct that dst points to: from a [JSON] body or the body of a
// [Report] by "json" tags, from a [Form] by "schema" tags, and for any other body
// from the query by "schema" tags.
//
// For forms and queries:
//
//   - A field is matched by its tag, or by its name in any case; unknown keys are
//     ignored, and fields without a key keep the value they had.
//   - The first of several values counts, unless the field is a slice.
//   - A dot in a key leads into a nested struct where there is one, else it
//     stands for an underscore: key "rt.start" fills `schema:"rt_start"`.
//   - Numbers, bool ("on" is true), string, [encoding.TextUnmarshaler], pointers to
//     and slices of these, nested and embedded structs; *[File] and []*[File] for
//     files. NaN and infinities do not fit a float.
//   - A [time.Duration] is a number of milliseconds, or text such as "1.5s". A
//     [time.Time] is milliseconds since the epoch, or RFC 3339.
//   - An empty value does not fit a number or a bool, and leaves it alone.
//   - The options "required" and "default" of the schema package are refused:
//     they cannot tell an absent value from a zero one.
//
// Values that do not fit are returned as joined [FieldError] values in the order
// of their keys, and all other fields are filled; encoding/json reports only the
// first. Any other error is a mistake in the type of dst.
func (e Event) Bind(dst any) error {
	switch b := e.Body.(type) {
	case JSON:
		return bindJSON(b, dst)
	case Report:
		return bindJSON(b.Body, dst)
	case Form:
		return bindForm(b, dst)
	}
	return bindForm(e.Query, dst)
}

// On returns a Sink that calls fn with each event bound to a T, which must be a
// struct. What did not fit is in the event's Errors, and fn is called all the
// same: dirty data is no reason to lose a beacon. All events are offered to fn;
// its errors are joined.
//
// On panics if T cannot be bound, as it would for every event.
func On[T any](fn func(ctx context.Context, e Event, v T) error) Sink {
	if _, err := planFor(reflect.TypeFor[T]()); err != nil {
		panic(err)
	}
	return SinkFunc(func(ctx context.Context, events []Event) error {
		var errs []error
		for _, e := range events {
			var v T
			if err := e.Bind(&v); err != nil {
				// A full slice expression, so that appending cannot reach into
				// a list that another copy of the event shares.
				e.Errors = append(e.Errors[:len(e.Errors):len(e.Errors)], fieldErrors(err)...)
			}
			if err := fn(ctx, e, v); err != nil {
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	})
}

// fieldErrors flattens what Bind returned.
func fieldErrors(err error) []FieldError {
	switch x := err.(type) {
	case FieldError:
		return []FieldError{x}
	case interface{ Unwrap() []error }:
		var list []FieldError
		for _, y := range x.Unwrap() {
			list = append(list, fieldErrors(y)...)
		}
		return list
	}
	return []FieldError{fieldError("body", "", err.Error())}
}

func bindJSON(b []byte, dst any) error {
	if len(b) == 0 {
		return nil
	}
	err := json.Unmarshal(b, dst)
	if bad, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		key := bad.Field
		if key == "" {
			key = "body"
		}
		return fieldError(key, bad.Value, "is not a "+jsonName(bad.Type))
	}
	if _, ok := errors.AsType[*json.InvalidUnmarshalError](err); ok {
		return fmt.Errorf("beacon: bind: %w", err)
	}
	if err != nil {
		return fieldError("body", "", "does not fit") // a type's own UnmarshalJSON failed
	}
	return nil
}

// jsonName says what JSON has to have for a Go type. The names of Go types are
// the host's own and have no place in stored events.
func jsonName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "JSON object"
	case reflect.Slice, reflect.Array:
		return "JSON array"
	}
	return t.Kind().String()
}

// textName is the same for a value of a form.
func textName(t reflect.Type) string {
	switch t {
	case durationType:
		return "duration"
	case timeType:
		return "time"
	}
	if isText(t) {
		return "valid value"
	}
	return t.Kind().String()
}

func bindForm(form Form, dst any) (err error) {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("beacon: bind: %T is not a pointer to a struct", dst)
	}
	p, err := planFor(v.Elem().Type())
	if err != nil {
		return err
	}
	values, files, keys, bad := p.sort(form)

	// The keys that reach the schema package are ones of its own fields, so what
	// it does with others (indices that panic or allocate, a map entry for each)
	// is out of reach; recover is the second line.
	defer func() {
		if r := recover(); r != nil {
			err = errors.Join(append(bad, fieldError("body", "", "does not fit"))...)
		}
	}()
	if decodeErr := decoder.Decode(dst, values); decodeErr != nil {
		multi, ok := errors.AsType[schema.MultiError](decodeErr)
		if !ok {
			return fmt.Errorf("beacon: bind: %w", decodeErr)
		}
		for _, path := range slices.Sorted(maps.Keys(multi)) {
			bad = append(bad, fieldError(keys[path], strings.Join(values[path], ","), "is not a "+textName(p.leaves[path].typ)))
		}
	}
	for path, list := range files {
		p.leaves[path].setFiles(v.Elem(), list)
	}
	slices.SortStableFunc(bad, func(a, b error) int {
		return strings.Compare(a.(FieldError).Key, b.(FieldError).Key)
	})
	return errors.Join(bad...)
}

// decoder does the conversions. Its types stay in this file.
var decoder = func() *schema.Decoder {
	d := schema.NewDecoder()
	d.IgnoreUnknownKeys(true)
	d.ZeroEmpty(true) // else empty members of a []string vanish
	d.RegisterConverter(time.Duration(0), func(s string) reflect.Value {
		if ms, err := strconv.ParseFloat(s, 64); err == nil {
			if ns := ms * float64(time.Millisecond); math.Abs(ns) < math.MaxInt64 {
				return reflect.ValueOf(time.Duration(ns))
			}
			return reflect.Value{}
		}
		if d, err := time.ParseDuration(s); err == nil {
			return reflect.ValueOf(d)
		}
		return reflect.Value{}
	})
	d.RegisterConverter(time.Time{}, func(s string) reflect.Value {
		if t, ok := parseTime(s); ok {
			return reflect.ValueOf(t)
		}
		return reflect.Value{}
	})
	return d
}()

// A plan is what is known of a struct type: the paths that the schema package
// understands, and how form keys lead to them.
type plan struct {
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

var plans sync.Map // reflect.Type -> *plan or error

func planFor(t reflect.Type) (*plan, error) {
	if cached, ok := plans.Load(t); ok {
		if err, bad := cached.(error); bad {
			return nil, err
		}
		return cached.(*plan), nil
	}
	p := &plan{leaves: map[string]*leaf{}, folded: map[string]string{}}
	if err := p.add(t, "", nil); err != nil {
		err = fmt.Errorf("beacon: bind: %v: %w", t, err)
		plans.Store(t, err)
		return nil, err
	}
	plans.Store(t, p)
	return p, nil
}

var (
	fileType            = reflect.TypeFor[*File]()
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
	if len(index) > 8 {
		return nil // a recursive type; forms do not go that deep
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
		l := &leaf{typ: f.Type, index: append(slices.Clip(slices.Clone(index)), i), tagged: tag != ""}
		if l.typ.Kind() == reflect.Slice && !isText(l.typ) {
			l.slice, l.typ = true, l.typ.Elem()
		}
		l.isFile = l.typ == fileType
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
func (p *plan) sort(form Form) (values map[string][]string, files map[string][]*File, keys map[string]string, bad []error) {
	values, files, keys = map[string][]string{}, map[string][]*File{}, map[string]string{}
	for _, exactPass := range []bool{true, false} {
		for _, f := range form {
			path, exact := p.find(f.Name)
			if path == "" || exact != exactPass {
				continue
			}
			l := p.leaves[path]
			key, again := keys[path]
			if again && key != f.Name {
				bad = append(bad, fieldError(f.Name, f.Value, "same field as "+strconv.Quote(key)))
				continue
			}
			keys[path] = f.Name
			if (f.File != nil) != l.isFile {
				bad = append(bad, fieldError(f.Name, f.Value, "file and value mistaken for each other"))
				continue
			}
			if f.File != nil {
				files[path] = append(files[path], f.File)
				continue
			}
			if again && !l.slice {
				continue // the first one counts
			}
			if err := l.refuse(f); err != nil {
				bad = append(bad, err)
				continue
			}
			values[path] = append(values[path], f.Value)
		}
	}
	return values, files, keys, bad
}

// refuse says what the schema package would accept although it does not fit.
func (l *leaf) refuse(f Field) error {
	if l.slice && isScalar(l.typ) && l.typ.Kind() != reflect.String && strings.Contains(f.Value, ",") {
		return fieldError(f.Name, f.Value, "is not a "+textName(l.typ)) // it would be split
	}
	switch l.typ.Kind() {
	case reflect.Float32, reflect.Float64:
		if x, err := strconv.ParseFloat(f.Value, 64); err == nil && (math.IsNaN(x) || math.IsInf(x, 0)) {
			return fieldError(f.Name, f.Value, "not a finite number")
		}
	case reflect.String:
		return nil
	}
	if f.Value == "" {
		return fieldError(f.Name, "", "is empty")
	}
	return nil
}

// setFiles stores files in the field of v, which must be reachable: a nil
// embedded or nested pointer on the way is filled.
func (l *leaf) setFiles(v reflect.Value, files []*File) {
	for _, i := range l.index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	if l.slice {
		v.Set(reflect.ValueOf(files))
		return
	}
	v.Set(reflect.ValueOf(files[0]))
}
