package main

import (
	"slices"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/js"
)

// parseJS reads a script. The parser is tdewolff's, as esbuild, which has the better one,
// tells nobody what a name refers to. Of tdewolff's minifier nothing is used: it moves
// declarations before what they need.
func parseJS(script string) (*js.AST, error) {
	return js.Parse(parse.NewInputString(script), js.Options{})
}

// walk calls f with all that is in n.
func walk(n js.INode, f func(js.INode)) { js.Walk(visitor(f), n) }

type visitor func(js.INode)

func (f visitor) Enter(n js.INode) js.IVisitor {
	f(n)
	return f
}

func (visitor) Exit(js.INode) {}

// root returns what v is a use of.
func root(v *js.Var) *js.Var {
	for v.Link != nil {
		v = v.Link
	}
	return v
}

// exported returns where the variables that tree exports are named for that.
func exported(tree *js.AST) map[*js.Var]*[]byte {
	found := map[*js.Var]*[]byte{}
	for _, s := range tree.List {
		e, ok := s.(*js.ExportStmt)
		for i := 0; ok && i < len(e.List); i++ {
			a := &e.List[i]
			if a.Name == nil { // without "as"
				a.Name = slices.Clone(a.Binding)
			}
			for _, v := range tree.Declared {
				if string(v.Data) == string(a.Name) {
					found[v] = &a.Name
				}
			}
		}
	}
	return found
}

// rename calls the variables of tree as names says, in all places.
func rename(tree *js.AST, names map[*js.Var][]byte) {
	for v, where := range exported(tree) {
		if name, ok := names[v]; ok {
			*where = name
		}
	}
	for v, name := range names {
		v.Data = name
	}
	link(tree)
}

// link calls each use of a variable like that: {a: a} is printed by it.
func link(tree *js.AST) {
	walk(tree, func(n js.INode) {
		if v, ok := n.(*js.Var); ok {
			v.Data = root(v).Data
		}
	})
}

// A scope is one of a script, and what the source calls what it belongs to.
type scope struct {
	*js.Scope
	owner string
}

// scopes returns those of tree.
func scopes(tree *js.AST) []scope {
	var list []scope
	js.Walk(owned{&list, ""}, tree)
	return list
}

type owned struct {
	list  *[]scope
	owner string
}

func (o owned) Enter(n js.INode) js.IVisitor {
	within := func(owner []byte) js.IVisitor { return owned{o.list, string(owner) + "/"} }
	switch n := n.(type) {
	case *js.BlockStmt:
		*o.list = append(*o.list, scope{&n.Scope, o.owner})
	case *js.SwitchStmt:
		*o.list = append(*o.list, scope{&n.Scope, o.owner})
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
	return o
}

func (owned) Exit(js.INode) {}
