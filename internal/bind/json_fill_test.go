package bind

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type readsJSON string

func (r *readsJSON) UnmarshalJSON(b []byte) error {
	*r = readsJSON("read " + string(b))
	return nil
}

// lists has slices of some types of [every], and what looks like them.
type lists struct {
	Strings  []string
	Ints     []int
	Int8s    []int8
	Floats   []float32
	Flags    []flag
	Bytes    []byte
	Uint8s   []uint8
	Names    []name
	Pointers []*int
	Nested   [][]string
	Read     []readsJSON
	Raw      json.RawMessage
	Number   json.Number
	Numbers  []json.Number
	Array    [2]int
	Own      readsJSON
}

// FuzzJSONScalar fills each type from a JSON value, here and by encoding/json.
func FuzzJSONScalar(f *testing.F) {
	for _, s := range values {
		if json.Valid([]byte(s)) {
			f.Add(s)
			f.Add("[" + s + "," + s + "]")
		}
		quoted, _ := json.Marshal(s)
		f.Add(string(quoted))
		f.Add("[" + string(quoted) + "]")
	}
	for _, s := range []string{
		"\"\xff\"", `"\ud800"`, `"a\nb"`, `["a","\u0062"]`, "[]", "[ ]", " [ 1 , 2 ] ", "[1,\"x\"]", "[true,false]", "[1,null]", "[[]]", `[["a"]]`,
		"true ", " 5", `"text" `, "1.0", "1e2", "-0", "-0.0", "{}", `{"a":1}`, `"AQI="`, `["AQI="]`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		raw := []byte(text)
		if !json.Valid(raw) || string(raw) == "null" {
			return
		}
		for _, typ := range []reflect.Type{reflect.TypeFor[every](), reflect.TypeFor[lists]()} {
			for field := range typ.Fields() {
				if fillingOf(field.Type) == inParts {
					continue // which is not what encoding/json does
				}
				for _, raw := range [][]byte{raw, []byte(strings.TrimSpace(text))} {
					ours, theirs := reflect.New(field.Type), reflect.New(field.Type)
					var got, want jsonBinder
					got.value(ours.Elem(), raw, "v")
					want.leaf(theirs.Elem(), raw, "v")
					if diff := cmp.Diff(want.bad, got.bad); diff != "" || !reflect.DeepEqual(ours.Interface(), theirs.Interface()) {
						t.Errorf("%v of %q: encoding/json has %v, here it is %v %s", field.Type, raw, theirs.Elem(), ours.Elem(), diff)
					}
				}
			}
		}
	})
}

// TestFillings: scalars are set here, in slices, too.
func TestFillings(t *testing.T) {
	var scalars []string
	typ := reflect.TypeFor[lists]()
	for f := range typ.Fields() {
		if fillingOf(f.Type) == asScalars {
			scalars = append(scalars, f.Name)
		}
	}
	if diff := cmp.Diff([]string{"Strings", "Ints", "Int8s", "Floats", "Flags", "Names"}, scalars); diff != "" {
		t.Error(diff)
	}
	for f := range reflect.TypeFor[every]().Fields() {
		if is := fillingOf(f.Type) == asScalar; is != (isScalar(f.Type) && f.Type != durationType && !isText(f.Type)) {
			t.Errorf("%v: %v", f.Type, is)
		}
	}
}

// TestRecursiveSlices: a type may be a slice of itself.
func TestRecursiveSlices(t *testing.T) {
	type tree []tree
	type twice [][]twice
	var v struct {
		Tree  tree
		Twice twice
	}
	bad, err := JSON(&v, []byte(`{"Tree":[[],[[]]],"Twice":[[[],[]]]}`))
	if bad != nil || err != nil {
		t.Error(bad, err)
	}
	if len(v.Tree) != 2 || len(v.Tree[1]) != 1 || len(v.Twice) != 1 || len(v.Twice[0]) != 2 {
		t.Errorf("%v", v)
	}
}
