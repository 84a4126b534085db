package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tdewolff/parse/v2"
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

// newTemplate finds the names in script, in which properties are marks already, for
// the given keys.
func newTemplate(script []byte, properties []string) (*template, error) {
	tree, err := js.Parse(parse.NewInputBytes(slices.Clone(script)), js.Options{})
	if err != nil {
		return nil, err
	}
	t := &template{}
	var scopes scopes
	js.Walk(&scopes, tree)
	index := map[*js.Var]int{}
	seen := map[string]int{}
	for _, s := range scopes.list {
		for _, v := range s.Declared {
			if _, ok := index[v]; ok || v.Decl == js.PrivateDecl {
				continue
			}
			key := s.owner + string(v.Data)
			if seen[key]++; seen[key] > 1 {
				key += "#" + strconv.Itoa(seen[key])
			}
			index[v] = len(t.names)
			t.names = append(t.names, name{key: key, taken: map[string]bool{}})
		}
	}
	t.meetings(scopes.list, index)
	for _, statement := range tree.List {
		export, ok := statement.(*js.ExportStmt)
		if !ok {
			continue
		}
		for i, a := range export.List {
			for _, v := range tree.Declared {
				local := a.Name
				if local == nil {
					local = a.Binding
				}
				if string(v.Data) == string(local) {
					export.List[i].Name = fmt.Appendf(nil, mark, index[v])
				}
			}
		}
	}
	for v, i := range index {
		v.Data = fmt.Appendf(nil, mark, i)
	}
	js.Walk(linked{}, tree)
	first := len(t.names)
	for _, key := range properties {
		t.names = append(t.names, name{key: key, property: true, taken: map[string]bool{}})
	}
	out, err := second(tree.JSString(), false)
	if err != nil {
		return nil, err
	}
	t.cut(string(out), first)
	return t, nil
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
			for v.Link != nil {
				v = v.Link
			}
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

// linked gives each use of a variable the name of that: {a: a} is printed by it.
type linked struct{}

func (l linked) Enter(n js.INode) js.IVisitor {
	if v, ok := n.(*js.Var); ok {
		v.Data = v.Name()
	}
	return l
}

func (linked) Exit(js.INode) {}

// A scope is one of a script, and what the source calls what it belongs to.
type scope struct {
	*js.Scope
	owner string
}

// scopes collects those of a tree.
type scopes struct {
	list  []scope
	owner string
	sub   *scopes // where to collect, if not here
}

func (s *scopes) Enter(n js.INode) js.IVisitor {
	root := s
	if s.sub != nil {
		root = s.sub
	}
	within := func(owner []byte) js.IVisitor {
		return &scopes{sub: root, owner: string(owner) + "/"}
	}
	switch n := n.(type) {
	case *js.BlockStmt:
		root.list = append(root.list, scope{&n.Scope, s.owner})
	case *js.SwitchStmt:
		root.list = append(root.list, scope{&n.Scope, s.owner})
	case *js.BindingElement:
		if v, ok := n.Binding.(*js.Var); ok {
			switch n.Default.(type) {
			case *js.ArrowFunc, *js.FuncDecl, *js.ClassDecl:
				return within(v.Data)
			}
		}
	case *js.MethodDecl:
		return within(n.Name.Literal.Data)
	case *js.FuncDecl:
		if n.Name != nil {
			return within(n.Name.Data)
		}
	}
	return s
}

func (s *scopes) Exit(js.INode) {}
