package bind

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/pagebeacon/beacon/internal/wire"
)

// JSON fills what dst points to from the JSON text b, by "json" tags. It is
// json.Unmarshal with two differences: durations and times are what they are in forms,
// and what does not fit costs only itself. The error is of a dst that nothing can fill.
func JSON(dst any, b []byte) (bad []Misfit, err error) {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return nil, fmt.Errorf("%T is not a pointer", dst)
	}
	if wire.CheckJSON(b, wire.MaxJSONDepth) != wire.JSONValid && !json.Valid(b) { // which no event of a Handler holds
		return []Misfit{{"body", wire.Text(b), "not valid JSON"}}, nil
	}
	var x jsonBinder
	if x.value(v.Elem(), b, ""); x.more > 0 {
		x.bad = append(x.bad, Misfit{"body", "", fmt.Sprintf("%d values more do not fit", x.more)})
	}
	return x.bad, nil
}

type jsonBinder struct {
	bad  []Misfit
	more int // that were not told
}

// maxMisfits is how many misfits are told one by one.
const maxMisfits = 100

func (x *jsonBinder) misfit(path string, raw []byte, why string) {
	if len(x.bad) == maxMisfits {
		x.more++
		return
	}
	text, ok := wire.JSONString(raw)
	if !ok {
		text = wire.Text(raw)
	}
	x.bad = append(x.bad, Misfit{cmp.Or(path, "body"), text, why})
}

// value fills v, which can be set, from the JSON text raw. path leads to it from the
// top, for errors.
func (x *jsonBinder) value(v reflect.Value, raw []byte, path string) {
	if !setPlain(v, raw) {
		x.rest(v, raw, path)
	}
}

// rest fills what is not to be had so easily.
func (x *jsonBinder) rest(v reflect.Value, raw []byte, path string) {
	t := v.Type()
	switch {
	case wire.IsJSONNull(raw):
		x.leaf(v, raw, path)
	case t == durationType:
		if d, ok := jsonDuration(raw); ok {
			v.SetInt(int64(d))
		} else {
			x.misfit(path, raw, "is not a duration")
		}
	case t == timeType:
		if at, ok := jsonTime(raw); ok {
			v.Set(reflect.ValueOf(at))
		} else {
			x.misfit(path, raw, "is not a time")
		}
	case fillingOf(t) != inParts:
		x.leaf(v, raw, path)
	case t.Kind() == reflect.Pointer:
		if !v.IsNil() {
			x.value(v.Elem(), raw, path)
			return
		}
		p, before := reflect.New(t.Elem()), len(x.bad)
		if x.value(p.Elem(), raw, path); len(x.bad) == before || !p.Elem().IsZero() {
			v.Set(p)
		}
	case t.Kind() == reflect.Struct:
		x.object(v, raw, path)
	case t.Kind() == reflect.Map:
		m, ok := wire.MembersOf(raw)
		if !ok {
			x.misfit(path, raw, "is not a JSON object")
			return
		}
		if v.IsNil() {
			v.Set(reflect.MakeMap(t))
		}
		for key, item, ok := m.Next(); ok; key, item, ok = m.Next() {
			k, ok := mapKey(t.Key(), key)
			if !ok {
				x.misfit(join(path, key), item, "its name does not fit")
				continue
			}
			elem := reflect.New(t.Elem()).Elem()
			x.value(elem, item, join(path, key))
			v.SetMapIndex(k, elem)
		}
	default: // a slice or an array
		items, ok := wire.ElementsOf(raw)
		if !ok {
			x.misfit(path, raw, "is not a JSON array")
			return
		}
		n := items.Count(math.MaxInt - 1)
		if t.Kind() == reflect.Slice {
			v.Set(reflect.MakeSlice(t, n, n))
		}
		for i := range min(n, v.Len()) {
			item, _ := items.Next()
			if !setPlain(v.Index(i), item) { // or else it needs no path
				x.rest(v.Index(i), item, join(path, strconv.Itoa(i)))
			}
		}
	}
}

// mapKey makes a key of a map of a member's name, as encoding/json does.
func mapKey(t reflect.Type, name string) (key reflect.Value, ok bool) {
	m := reflect.New(reflect.MapOf(t, reflect.TypeFor[bool]()))
	text, err := json.Marshal(map[string]bool{name: true})
	if err != nil || json.Unmarshal(text, m.Interface()) != nil || m.Elem().Len() != 1 {
		return key, false
	}
	return m.Elem().MapKeys()[0], true
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// leaf lets encoding/json do it.
func (x *jsonBinder) leaf(v reflect.Value, raw []byte, path string) {
	err := json.Unmarshal(raw, v.Addr().Interface())
	if bad, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if bad.Field != "" { // inside of a map or slice
			path, raw = join(path, bad.Field), nil // which of its values it is nobody knows
		}
		x.misfit(path, raw, "is not "+jsonName(bad.Type))
	} else if err != nil {
		x.misfit(path, raw, "does not fit") // a type's own UnmarshalJSON failed
	}
}

// object fills a struct from an object.
func (x *jsonBinder) object(v reflect.Value, raw []byte, path string) {
	m, ok := wire.MembersOf(raw)
	if !ok {
		x.misfit(path, raw, "is not a JSON object")
		return
	}
	fields := jsonFieldsOf(v.Type())
	for key, item, ok := m.Next(); ok; key, item, ok = m.Next() {
		f, ok := fields.byName[key]
		if !ok {
			if f, ok = fields.folded[strings.ToLower(key)]; !ok {
				continue
			}
		}
		member, ok := v, true
		for i, n := range f.index {
			if i > 0 && member.Kind() == reflect.Pointer { // to an embedded struct
				if member.IsNil() {
					if !member.CanSet() {
						ok = false
						break
					}
					member.Set(reflect.New(member.Type().Elem()))
				}
				member = member.Elem()
			}
			member = member.Field(n)
		}
		switch {
		case !ok || !member.CanSet():
		case f.quoted:
			x.quoted(member, item, join(path, key))
		case !setPlain(member, item): // or else it needs no path
			x.rest(member, item, join(path, key))
		}
	}
}

// quoted is for the option "string" of a json tag: the value stands in a string.
func (x *jsonBinder) quoted(v reflect.Value, raw []byte, path string) {
	if text, ok := wire.JSONString(raw); ok && json.Valid([]byte(text)) {
		x.value(v, []byte(text), path)
	} else if !wire.IsJSONNull(raw) {
		x.misfit(path, raw, "is not "+jsonName(v.Type())+" in a string")
	}
}

func jsonDuration(raw []byte) (time.Duration, bool) {
	if text, ok := wire.JSONString(raw); ok {
		return wire.ParseDuration(text)
	}
	ms, ok := wire.JSONFloat(raw)
	if !ok {
		return 0, false
	}
	return wire.MillisDuration(ms)
}

func jsonTime(raw []byte) (time.Time, bool) {
	if text, ok := wire.JSONString(raw); ok {
		return wire.ParseTime(text)
	}
	ms, ok := wire.JSONFloat(raw)
	if !ok {
		return time.Time{}, false
	}
	return wire.Millis(ms)
}

// jsonName says what JSON has to have for a Go type.
func jsonName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "a JSON object"
	case reflect.Slice, reflect.Array:
		return "a JSON array"
	}
	return kindName(t)
}
