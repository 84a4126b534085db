package bind

import (
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/pagebeacon/beacon/internal/wire"
)

// isPlain says whether the leaf is one value of a type that [leaf.set] knows, and not
// deeper than hosts nest: to see what the schema package makes of it takes a whole struct
// each, and a type that points to itself has thousands of leaves.
func (l *leaf) isPlain() bool {
	return len(l.index) <= 3 && !l.slice && !l.isFile && (l.typ == timeType || isScalar(l.typ) && !isText(l.typ))
}

// setsLikeSchema says whether the schema package sets the same field of a t, and no other:
// of fields with one name, in embedded structs, it may take another one or none.
func (l *leaf) setsLikeSchema(t reflect.Type) bool {
	defer func() { _ = recover() }() // it panics on some
	ours, theirs := reflect.New(t), reflect.New(t)
	const fits = "1" // whatever the type
	err := decoder.Decode(theirs.Interface(), map[string][]string{l.path: {fits}})
	return err == nil && l.set(ours.Elem(), fits) == "" && reflect.DeepEqual(ours.Interface(), theirs.Interface())
}

// set sets the leaf in the struct v to what a text says that [leaf.refuse] does not, or
// says why that does not fit. It does what the schema package does, for less.
func (l *leaf) set(v reflect.Value, text string) (why string) {
	v = filled(l.reach(v))
	fits := false
	switch kind := v.Kind(); kind {
	case reflect.String:
		v.SetString(strings.Clone(text)) // it outlives the form
		fits = true
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if fits = err == nil || text == "on"; fits {
			v.SetBool(b || text == "on")
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if l.typ == durationType {
			var d time.Duration
			if d, fits = wire.ParseDuration(text); fits {
				v.SetInt(int64(d))
			}
		} else if n, err := strconv.ParseInt(text, 10, l.typ.Bits()); err == nil {
			v.SetInt(n)
			fits = true
		}
	case reflect.Float32, reflect.Float64:
		if x, err := strconv.ParseFloat(text, l.typ.Bits()); err == nil {
			v.SetFloat(x)
			fits = true
		}
	case reflect.Struct:
		var t time.Time
		if t, fits = wire.ParseTime(text); fits {
			*v.Addr().Interface().(*time.Time) = t
		}
	default:
		if n, err := strconv.ParseUint(text, 10, l.typ.Bits()); err == nil {
			v.SetUint(n)
			fits = true
		}
	}
	if !fits {
		return "is not " + textName(l.typ)
	}
	return ""
}

// reach returns the leaf in the struct v, past nested and embedded ones.
func (l *leaf) reach(v reflect.Value) reflect.Value {
	for _, i := range l.index {
		v = filled(v).Field(i)
	}
	return v
}

// filled returns what v points to, if it is a pointer, and makes that if there is nothing.
func filled(v reflect.Value) reflect.Value {
	if v.Kind() != reflect.Pointer {
		return v
	}
	if v.IsNil() {
		v.Set(reflect.New(v.Type().Elem()))
	}
	return v.Elem()
}
