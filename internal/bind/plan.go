package bind

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A plan is what is known of a struct type: the fields that a form can fill, and how keys
// lead to them.
type plan struct {
	file   reflect.Type
	leaves map[string]*leaf // by path, as the schema package understands it
	folded map[string]*leaf // by path with "_" for "." in lower case
	calm   bool             // see [isCalm]
}

// A leaf is a field that takes values.
type leaf struct {
	path   string
	number int          // counted from 0
	typ    reflect.Type // of one value
	index  []int
	slice  bool
	tagged bool // named by a tag: matched exactly
	isFile bool
	scalar bool // for [leaf.set], not the schema package
}

func (b *Forms) planFor(t reflect.Type) (*plan, error) {
	if cached, ok := b.plans.Load(t); ok {
		if err, bad := cached.(error); bad {
			return nil, err
		}
		return cached.(*plan), nil
	}
	p := &plan{file: b.file, leaves: map[string]*leaf{}, folded: map[string]*leaf{}}
	err := p.add(t, "", nil)
	if err == nil {
		err = checkEmbedding(t, map[reflect.Type]bool{})
	}
	if err != nil {
		err = fmt.Errorf("%v: %w", t, err)
		b.plans.Store(t, err)
		return nil, err
	}
	p.calm = isCalm(t, map[reflect.Type]bool{})
	n := 0
	for _, l := range p.leaves {
		l.number = n
		n++
		l.scalar = l.isPlain() && l.setsLikeSchema(t)
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
		l.path = prefix + tag
		if tag == "" {
			l.path = prefix + f.Name
		}
		switch {
		case l.isFile, l.typ == timeType, isText(l.typ), isScalar(l.typ):
			if strings.Contains(tag, ".") {
				return fmt.Errorf("field %s: write %q for keys with dots", f.Name, strings.ReplaceAll(tag, ".", "_"))
			}
			if l.slice && !l.isFile && (!isScalar(l.typ) || f.Type.Elem().Kind() == reflect.Pointer) {
				return fmt.Errorf("field %s: a slice of %v is not supported, tag it \"-\"", f.Name, f.Type.Elem())
			}
			fold := foldKey(l.path)
			if other, ok := p.folded[fold]; ok {
				if other.path != l.path {
					return fmt.Errorf("%q and %q are the same key", l.path, other.path)
				}
				if len(other.index) < len(l.index) {
					continue // the embedded field is shadowed, as in Go
				}
			}
			p.leaves[l.path], p.folded[fold] = l, l
		case l.typ.Kind() == reflect.Struct && !l.slice:
			under := l.path + "."
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

// isCalm says whether the schema package leaves a value of the type as it is as long as
// no key leads into it: it fills embedded pointers and obeys options wherever it comes by,
// also in types whose fields are none of a plan's.
func isCalm(t reflect.Type, seen map[reflect.Type]bool) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || seen[t] {
		return true
	}
	seen[t] = true
	for f := range t.Fields() {
		if f.Anonymous && f.Type.Kind() == reflect.Pointer || strings.Contains(f.Tag.Get("schema"), ",") || !isCalm(f.Type, seen) {
			return false
		}
	}
	return true
}

// checkEmbedding refuses a type that embeds itself, or leads to one that does: the schema
// package would never be done with it.
func checkEmbedding(t reflect.Type, seen map[reflect.Type]bool) error {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || seen[t] {
		return nil
	}
	seen[t] = true
	if embeds(t, t, map[reflect.Type]bool{}) {
		return fmt.Errorf("%v embeds itself, tag what does `schema:\"-\"`", t)
	}
	for f := range t.Fields() {
		if err := checkEmbedding(f.Type, seen); err != nil {
			return err
		}
	}
	return nil
}

// embeds says whether a t has an embedded field of type what, at whatever depth.
func embeds(t, what reflect.Type, seen map[reflect.Type]bool) bool {
	for f := range t.Fields() {
		to := f.Type
		if to.Kind() == reflect.Pointer {
			to = to.Elem()
		}
		if !f.Anonymous || to.Kind() != reflect.Struct || f.Tag.Get("schema") == "-" || seen[to] {
			continue
		}
		seen[to] = true
		if to == what || embeds(to, what, seen) {
			return true
		}
	}
	return false
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

// similar returns the leaf that a key leads to which is not its path but a spelling of it,
// or nil.
func (p *plan) similar(key string) *leaf {
	l := p.folded[foldKey(key)]
	if l == nil || l.path == key || l.tagged && strings.ReplaceAll(key, ".", "_") != strings.ReplaceAll(l.path, ".", "_") {
		return nil
	}
	return l
}
