package bind

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// A jsonField is a member of a JSON object that a struct has a field for.
type jsonField struct {
	index  []int
	tagged bool
	quoted bool
}

// jsonFields are those of a struct type, by name, and by name in lower case.
type jsonFields struct{ byName, folded map[string]jsonField }

var jsonFieldsCache sync.Map // reflect.Type -> *jsonFields

// jsonFieldsOf finds the fields as encoding/json does: of several with one name, the
// least nested counts, then the tagged one, and then none.
func jsonFieldsOf(t reflect.Type) *jsonFields {
	if cached, ok := jsonFieldsCache.Load(t); ok {
		return cached.(*jsonFields)
	}
	all := map[string][]jsonField{}
	collectJSONFields(t, nil, all, map[reflect.Type]bool{})
	fields := &jsonFields{map[string]jsonField{}, map[string]jsonField{}}
	for name, list := range all {
		best, twice := list[0], false
		for _, f := range list[1:] {
			switch {
			case len(f.index) < len(best.index), len(f.index) == len(best.index) && f.tagged && !best.tagged:
				best, twice = f, false
			case len(f.index) == len(best.index) && f.tagged == best.tagged:
				twice = true
			}
		}
		if !twice {
			fields.byName[name] = best
			fold := strings.ToLower(name)
			if other, ok := fields.folded[fold]; !ok || slices.Compare(best.index, other.index) < 0 {
				fields.folded[fold] = best
			}
		}
	}
	cached, _ := jsonFieldsCache.LoadOrStore(t, fields)
	return cached.(*jsonFields)
}

func collectJSONFields(t reflect.Type, index []int, all map[string][]jsonField, above map[reflect.Type]bool) {
	if above[t] {
		return // it embeds itself
	}
	above[t] = true
	defer delete(above, t)
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		if tag == "-" {
			continue
		}
		at := append(index[:len(index):len(index)], i)
		name, options, _ := strings.Cut(tag, ",")
		if f.Anonymous && name == "" {
			embedded := f.Type
			if embedded.Kind() == reflect.Pointer {
				embedded = embedded.Elem()
			}
			if embedded.Kind() == reflect.Struct {
				collectJSONFields(embedded, at, all, above)
				continue
			}
		}
		if !f.IsExported() {
			continue
		}
		all[cmp.Or(name, f.Name)] = append(all[cmp.Or(name, f.Name)], jsonField{
			index: at, tagged: name != "", quoted: isScalar(f.Type) && strings.Contains(","+options+",", ",string,"),
		})
	}
}
