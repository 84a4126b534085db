package bind

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type file struct{ data string }

type (
	name  string
	level int8
	flag  bool
)

// every has a field of each type that the schema package can fill with one value.
type every struct {
	Bool     bool
	String   string
	Int      int
	Int8     int8
	Int16    int16
	Int32    int32
	Int64    int64
	Uint     uint
	Uint8    uint8
	Uint16   uint16
	Uint32   uint32
	Uint64   uint64
	Float32  float32
	Float64  float64
	Name     name
	Level    level
	Flag     flag
	Duration time.Duration
	Time     time.Time
	Pointer  *int16
	Flags    *bool
	Single   *float32
	Double   *float64
	When     *time.Time
	Words    *string
	Slog     slog.Level
	Addr     *netip.Addr
}

var values = []string{
	"", "0", "1", "-1", "+1", "007", "1.5", "-0", ".5", "1e3", "1e39", "1e309", "-1e400", "1e-400", "0x10", "0x1p-2", "1_000", " 1", "1 ",
	"127", "128", "-128", "-129", "255", "256", "32767", "32768", "65535", "65536", "2147483647", "2147483648", "4294967295", "4294967296",
	"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551615", "18446744073709551616",
	"NaN", "nan", "Inf", "-Infinity", "infinity", "on", "On", "off", "t", "T", "true", "TRUE", "tRue", "f", "false", "yes", "1s", "1.5h", "-3ms", "1h-1s",
	"2026-01-02T03:04:05Z", "2026-01-02T03:04:05.678+02:00", "2026-13-01T00:00:00Z", "1700000000000", "8.64e15", "8.65e15",
	"text", "a,b", "1,2", "INFO", "WARN+1", "192.0.2.1", "\xff", "\x00", "\u00e9", strings.Repeat("9", 400),
}

// FuzzScalar has a text set for each type, here and by the schema package.
func FuzzScalar(f *testing.F) {
	for _, s := range values {
		f.Add(s)
	}
	both := newBoth()
	f.Fuzz(func(t *testing.T, text string) {
		typ := reflect.TypeFor[every]()
		var form []Field
		for field := range typ.Fields() {
			form = append(form, Field{Name: field.Name, Value: text})
		}
		both.compare(t, typ, form)
	})
}

// Fields of structs to embed have names, and keys, in common.
type (
	One struct {
		Same  int
		Only  int `schema:"one_only"`
		Other int `schema:"shared"`
	}
	Two struct {
		Same string
		More string `schema:"shared"`
	}
	Deep struct{ Two }
	Far  struct {
		Far int
		One
	}
	options struct {
		N int `schema:"n,default:7"`
	}
	Texts struct{ options } // a type that reads text may be made as it likes
)

func (*Texts) UnmarshalText([]byte) error { return nil }

// TestScalarsLikeSchema fills random structs from random forms, twice each, with and
// without the schema package for scalars.
func TestScalarsLikeSchema(t *testing.T) {
	both := newBoth()
	scalars := 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 0))
		typ, keys := randomStruct(r, 0)
		if both.ours.Check(typ) != nil {
			continue
		}
		var forms [2][]Field
		for i := range forms {
			for range r.IntN(8) {
				f := Field{Name: keys[r.IntN(len(keys))], Value: values[r.IntN(len(values))]}
				switch r.IntN(8) {
				case 0:
					f.Name = strings.ToUpper(f.Name)
				case 1:
					f.Name = strings.ReplaceAll(f.Name, ".", "_")
				case 2:
					f.Value, f.File = "", &file{f.Name}
				}
				forms[i] = append(forms[i], f)
			}
		}
		both.compare(t, typ, forms[:]...)
		if t.Failed() {
			t.Fatalf("seed %d: %v", seed, typ)
		}
		scalars += both.scalars(typ)
	}
	if scalars < 3000 {
		t.Errorf("%d fields were set here: nearly all is left to the schema package", scalars)
	}
	// What reads text itself is the schema package's.
	if typ := reflect.TypeFor[every](); both.scalars(typ) != typ.NumField()-2 {
		t.Errorf("of %d scalars %d are set here", typ.NumField(), both.scalars(typ))
	}
}

// TestScalarsOfOneName: fields with one name in Go and two keys are what schema makes of
// them, which goes by the name. (Of both keys in one form, it depends on the day.)
func TestScalarsOfOneName(t *testing.T) {
	type Inner struct {
		Key int `schema:"inner"`
	}
	type Twin struct {
		Key int `schema:"twin"`
	}
	type Outer struct {
		Inner
		Key int `schema:"outer"`
	}
	type Twins struct {
		Inner
		Twin
	}
	type Hidden struct {
		Outer `schema:"-"`
		Twin
		Key string
	}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[Inner](), reflect.TypeFor[Outer](), reflect.TypeFor[Twins](), reflect.TypeFor[struct{ Twins }](),
		reflect.TypeFor[Hidden](), reflect.TypeFor[struct{ In Outer }](), reflect.TypeFor[struct{ In *Twins }](),
	} {
		for _, key := range []string{"inner", "outer", "twin", "Key", "key", "In.inner", "In.outer", "In.twin"} {
			newBoth().compare(t, typ, []Field{{Name: key, Value: "7"}})
		}
	}
}

// TestEmbeddedPointers are there whatever the form has: hosts read through them.
func TestEmbeddedPointers(t *testing.T) {
	type nested struct {
		*Two
		N int
	}
	v := struct {
		*One
		In *nested
		N  int
	}{In: new(nested)}
	form := []Field{{Name: "N", Value: "5"}}
	for n := range 2 { // without the field, and with it
		v.One, v.In.Two = nil, nil
		bad, err := newBoth().ours.Fill(&v, n, func(i int) Field { return form[i] })
		if bad != nil || err != nil || v.One == nil || v.In.Two == nil || v.N != 5*n {
			t.Errorf("%d fields: %v %v %+v", n, bad, err, v)
		}
	}
}

// TestScalarsOfRecursiveTypes: a type that points to itself is known at once, if not all of
// the leaves that it has in depth are set here.
func TestScalarsOfRecursiveTypes(t *testing.T) {
	type node struct {
		N              int
		Up, Down, Next *node
	}
	both := newBoth()
	typ := reflect.TypeFor[node]()
	if n := both.scalars(typ); n != 1+3+9 {
		t.Errorf("%d leaves are set here", n)
	}
	both.compare(t, typ, []Field{{Name: "N", Value: "1"}, {Name: "Up.Down.N", Value: "2"}, {Name: "Up.Next.Next.N", Value: "3"}})
}

func randomStruct(r *rand.Rand, depth int) (t reflect.Type, keys []string) {
	keys = []string{"unknown", "same", "Same", "one_only", "shared", "Far", "n", "One.Same", "Two.shared"}
	single := reflect.TypeFor[every]()
	var fields []reflect.StructField
	for i := range 1 + r.IntN(6) {
		f := reflect.StructField{Name: fmt.Sprint("F", i), Type: single.Field(r.IntN(single.NumField())).Type}
		key := f.Name
		if r.IntN(2) == 0 {
			key = fmt.Sprint("key_", i)
			f.Tag = reflect.StructTag(`schema:"` + key + `"`)
		}
		switch n := r.IntN(24); {
		case n < 2:
			f.Type = reflect.SliceOf(f.Type)
		case n < 3:
			f.Type = reflect.TypeFor[*file]()
		case n < 4:
			f.Type = reflect.TypeFor[[]*file]()
		case n < 5:
			f.Type = reflect.TypeFor[map[string]int]()
		case n < 6:
			f.Type = reflect.TypeFor[Texts]()
		case n < 10 && depth < 2:
			var below []string
			f.Type, below = randomStruct(r, depth+1)
			if r.IntN(3) == 0 {
				f.Type = reflect.PointerTo(f.Type)
			}
			for _, k := range below {
				keys = append(keys, key+"."+k)
			}
		}
		fields, keys = append(fields, f), append(keys, key)
	}
	for _, embedded := range []reflect.Type{
		reflect.TypeFor[One](), reflect.TypeFor[Two](), reflect.TypeFor[Deep](), reflect.TypeFor[Far](), reflect.TypeFor[*Two](),
	} {
		if r.IntN(10) == 0 {
			name := embedded.Name()
			if name == "" {
				name = embedded.Elem().Name()
			}
			if !slices.ContainsFunc(fields, func(f reflect.StructField) bool { return f.Name == name }) {
				fields = append(fields, reflect.StructField{Name: name, Type: embedded, Anonymous: true})
			}
		}
	}
	return reflect.StructOf(fields), keys
}

// both are Forms that set scalars, and ones that leave them to the schema package.
type both struct{ ours, theirs *Forms }

func newBoth() both {
	f := reflect.TypeFor[*file]()
	return both{NewForms(f), NewForms(f)}
}

func (b both) scalars(t reflect.Type) (n int) {
	p, _ := b.ours.planFor(t)
	for _, l := range p.leaves {
		if l.scalar {
			n++
		}
	}
	return n
}

// compare fills a struct of each from one form after another.
func (b both) compare(t *testing.T, typ reflect.Type, forms ...[]Field) {
	t.Helper()
	p, err := b.theirs.planFor(typ)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range p.leaves {
		l.scalar = false
	}
	p.calm = false
	ours, theirs := reflect.New(typ), reflect.New(typ)
	for _, form := range forms {
		at := func(i int) Field { return form[i] }
		got, err := b.ours.Fill(ours.Interface(), len(form), at)
		want, err2 := b.theirs.Fill(theirs.Interface(), len(form), at)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		for _, bad := range [][]Misfit{got, want} { // of one key, which comes first is left open
			slices.SortStableFunc(bad, func(x, y Misfit) int { return strings.Compare(fmt.Sprint(x), fmt.Sprint(y)) })
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: misfits (-schema +ours)\n%s", form, diff)
		}
		if !reflect.DeepEqual(ours.Interface(), theirs.Interface()) {
			t.Errorf("%q: schema has\n%+v, here it is\n%+v", form, theirs.Elem(), ours.Elem())
		}
	}
}
