package bind

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/pagebeacon/beacon/internal/wire"
)

// A filling is who fills values of a type.
type filling uint8

const (
	asWhole   filling = iota // encoding/json, types that read JSON themselves among them
	asScalar                 // setScalar, if it can
	asScalars                // setScalars, if it can: a slice
	inParts                  // jsonBinder: it is a struct, or holds one or a time
)

func fillingOf(t reflect.Type) filling {
	if cached, ok := fillings.Load(t); ok {
		return cached.(filling)
	}
	how := asWhole
	switch {
	case findParts(t, map[reflect.Type]bool{}):
		how = inParts
	case isJSONScalar(t):
		how = asScalar
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8 && isJSONScalar(t.Elem()) && !readsItself(t): // bytes are a string
		how = asScalars
	}
	fillings.Store(t, how)
	return how
}

var fillings sync.Map // reflect.Type -> filling

func isJSONScalar(t reflect.Type) bool { return isScalar(t) && !readsItself(t) && t != numberType }

// readsItself says whether it is up to the type how it is read.
func readsItself(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(jsonUnmarshalerType) || isText(t)
}

// setPlain sets v if it is a scalar, or a slice of them, that the JSON text plainly fits.
func setPlain(v reflect.Value, raw []byte) (ok bool) {
	switch fillingOf(v.Type()) {
	case asScalar:
		return setScalar(v, raw)
	case asScalars:
		return setScalars(v, raw)
	}
	return false
}

// setScalar sets v to a JSON value that plainly fits. Of all others encoding/json knows
// better what becomes of them.
func setScalar(v reflect.Value, raw []byte) (ok bool) {
	switch v.Kind() {
	case reflect.String:
		if raw[0] != '"' || raw[len(raw)-1] != '"' || bytes.IndexByte(raw, '\\') >= 0 || !utf8.Valid(raw) {
			return false
		}
		v.SetString(string(raw[1 : len(raw)-1]))
	case reflect.Bool:
		if raw[0] != 't' && raw[0] != 'f' {
			return false
		}
		v.SetBool(raw[0] == 't')
	case reflect.Float32, reflect.Float64:
		x, err := strconv.ParseFloat(wire.Text(raw), v.Type().Bits())
		if err != nil {
			return false
		}
		v.SetFloat(x)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(wire.Text(raw), 10, v.Type().Bits())
		if err != nil {
			return false
		}
		v.SetUint(n)
	default:
		n, err := strconv.ParseInt(wire.Text(raw), 10, v.Type().Bits())
		if err != nil {
			return false
		}
		v.SetInt(n)
	}
	return true
}

// setScalars does so with a slice, if all elements plainly fit.
func setScalars(v reflect.Value, raw []byte) (ok bool) {
	items, ok := wire.ElementsOf(raw)
	if !ok {
		return false
	}
	n := items.Count(math.MaxInt - 1)
	list := reflect.MakeSlice(v.Type(), n, n)
	for i := range n {
		if item, _ := items.Next(); !setScalar(list.Index(i), item) {
			return false
		}
	}
	v.Set(list)
	return true
}

func findParts(t reflect.Type, above map[reflect.Type]bool) bool {
	if t == durationType || t == timeType {
		return true
	}
	if above[t] {
		return false // it holds nothing but itself
	}
	above[t] = true
	if t.Kind() == reflect.Pointer {
		return findParts(t.Elem(), above)
	}
	if readsItself(t) {
		return false
	}
	switch t.Kind() {
	case reflect.Struct:
		return true
	case reflect.Slice, reflect.Array, reflect.Map:
		return findParts(t.Elem(), above)
	}
	return false
}

var (
	jsonUnmarshalerType = reflect.TypeFor[json.Unmarshaler]()
	numberType          = reflect.TypeFor[json.Number]()
)
