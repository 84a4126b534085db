package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tdewolff/parse/v2/js"
)

// A template is a script of which the names are still to be chosen: those of its
// bindings (variables, functions, parameters) and of its own properties. Any choice
// means the same, as long as no two that meet are called alike, but some compress better.
type template struct {
	text  []string // before, between and after the names
	slots []int    // which name follows each text but the last: an index into names
	names []name
}

// A name is one of a template, wherever it stands.
type name struct {
	key      string // what the source calls it, and where; of a property that alone
	property bool
	uses     int
	meets    []int           // the names that it cannot share one with
	taken    map[string]bool // by what is not renamed: globals, properties of others
}

// Stand for names until they are chosen. None of the source's own looks like it.
const (
	mark     = "$$%d$"
	propMark = "$$p%d$"
)

var marks = regexp.MustCompile(`\$\$(p?)(\d+)\$`)

// word is what may be the name of something, in a string too: rather one too many.
var word = regexp.MustCompile(`[\p{L}\p{Nl}$_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}$]*`)

// newTemplate finds the names in script, in which properties are marks already, for the
// given keys. It returns the template, and script with the names of the source, which has
// the same meaning.
func newTemplate(script []byte, properties []string) (t *template, same []byte, err error) {
	for _, m := range marks.FindAllSubmatch(script, -1) {
		if len(m[1]) == 0 {
			return nil, nil, fmt.Errorf("the source has a %s, which stands for a name here", m[0])
		}
	}
	apart, err := unique(string(script))
	if err != nil {
		return nil, nil, err
	}
	if err := alike([]byte(apart), script); err != nil {
		return nil, nil, err
	}
	if apart, err = inline(apart); err != nil {
		return nil, nil, err
	}
	tree, err := parseJS(apart)
	if err != nil {
		return nil, nil, err
	}
	t = &template{}
	list := scopes(tree)
	index := map[*js.Var]int{}
	names := map[*js.Var][]byte{}
	seen := map[string]int{}
	for _, s := range list {
		for _, v := range s.Declared {
			if _, ok := index[v]; ok || v.Decl == js.PrivateDecl {
				continue
			}
			key := number.ReplaceAllString(s.owner+string(v.Data), "")
			if seen[key]++; seen[key] > 1 {
				key += "#" + strconv.Itoa(seen[key])
			}
			index[v] = len(t.names)
			names[v] = fmt.Appendf(nil, mark, index[v])
			t.names = append(t.names, name{key: key, taken: map[string]bool{}})
		}
	}
	t.meetings(list, index)
	rename(tree, names)
	first := len(t.names)
	for _, key := range properties {
		t.names = append(t.names, name{key: key, property: true, taken: map[string]bool{}})
	}
	out, err := second(tree.JSString(), false)
	if err != nil {
		return nil, nil, err
	}
	t.cut(string(out), first)
	return t, []byte(apart), nil
}

// number makes the names of variables that the source calls alike different.
var number = regexp.MustCompile(`\$\$\d+`)

// unique gives the variables of script names of which there are no two.
func unique(script string) (string, error) {
	tree, err := parseJS(script)
	if err != nil {
		return "", err
	}
	names := map[*js.Var][]byte{}
	for _, s := range scopes(tree) {
		for _, v := range s.Declared {
			if _, ok := names[v]; !ok && v.Decl != js.PrivateDecl {
				names[v] = fmt.Appendf(nil, "%s$$%d", v.Data, len(names))
			}
		}
	}
	rename(tree, names)
	return tree.JSString(), nil
}

// meetings notes which names may not be alike: what a scope declares, with one another
// and with what is used in it, or in a scope within, of those outside.
func (t *template) meetings(list []scope, index map[*js.Var]int) {
	meets := map[[2]int]bool{}
	for _, s := range list {
		var inside []int
		for _, v := range s.Declared {
			if i, ok := index[v]; ok {
				inside = append(inside, i)
			}
		}
		all := slices.Clone(inside)
		for _, v := range s.Undeclared {
			v = root(v)
			if i, ok := index[v]; ok {
				all = append(all, i)
				continue
			}
			for _, i := range inside {
				t.names[i].taken[string(v.Data)] = true
			}
		}
		for _, a := range inside {
			for _, b := range all {
				if a != b {
					meets[[2]int{a, b}], meets[[2]int{b, a}] = true, true
				}
			}
		}
	}
	for pair := range meets {
		t.names[pair[0]].meets = append(t.names[pair[0]].meets, pair[1])
	}
	for i := range t.names {
		slices.Sort(t.names[i].meets)
	}
}

// cut takes script apart at its marks; those of properties begin with the name first.
func (t *template) cut(script string, first int) {
	at := 0
	for _, m := range marks.FindAllStringSubmatchIndex(script, -1) {
		i, _ := strconv.Atoi(script[m[4]:m[5]])
		if m[2] < m[3] {
			i += first
		}
		t.text = append(t.text, script[at:m[0]])
		t.slots = append(t.slots, i)
		t.names[i].uses++
		at = m[1]
	}
	t.text = append(t.text, script[at:])
	// A property of the source's own is never called like one of the platform's.
	taken := map[string]bool{}
	for _, w := range word.FindAllString(strings.Join(t.text, " "), -1) {
		taken[w] = true
	}
	for i := first; i < len(t.names); i++ {
		t.names[i].taken = taken
		for j := first; j < len(t.names); j++ {
			if i != j {
				t.names[i].meets = append(t.names[i].meets, j)
			}
		}
	}
}

// render writes the script with the names chosen.
func (t *template) render(chosen []string) []byte {
	return t.renderTo(nil, chosen)
}

func (t *template) renderTo(out []byte, chosen []string) []byte {
	for i, slot := range t.slots {
		out = append(out, t.text[i]...)
		out = append(out, chosen[slot]...)
	}
	return append(out, t.text[len(t.text)-1]...)
}
