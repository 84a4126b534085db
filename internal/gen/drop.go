package main

import (
	"slices"

	"github.com/tdewolff/parse/v2/js"
)

// drop leaves out what nothing in tree needs. All its names must be different.
func drop(tree *js.AST) {
	u := usesIn(tree)
	walk(tree, func(n js.INode) {
		switch n := n.(type) {
		case *js.BindingElement:
			if class, ok := n.Default.(*js.ClassDecl); ok && class.Name != nil {
				u.anonymous(class, n.Binding)
			}
		case *js.BindingObject:
			if n.Rest == nil {
				n.List = slices.DeleteFunc(n.List, u.unused)
			}
		}
	})
	link(tree)
}

// anonymous leaves out the name of a class that is the value of a variable, which never
// has another: the class can call itself by that. Its name is one that the parser does
// not know to be declared.
func (u *uses) anonymous(class *js.ClassDecl, variable js.IBinding) {
	v, ok := variable.(*js.Var)
	if !ok || u.assigned[root(v)] {
		return
	}
	var own *js.Var
	inside := 0
	walk(class, func(n js.INode) {
		if used, ok := n.(*js.Var); ok && used != class.Name && root(used).Decl == js.NoDecl && string(used.Name()) == string(class.Name.Data) {
			own = root(used)
			inside++
		}
	})
	if own != nil {
		if u.count[own] != inside {
			return // there is a global of that name
		}
		own.Link = root(v)
	}
	class.Name = nil
}

// unused reports whether nobody uses what is taken out of an object: in this source, to
// take it does nothing else.
func (u *uses) unused(item js.BindingObjectItem) bool {
	v, ok := item.Value.Binding.(*js.Var)
	if !ok || u.count[root(v)] != 1 || item.Key != nil && item.Key.IsComputed() {
		return false
	}
	switch d := item.Value.Default.(type) {
	case nil, *js.Var, *js.LiteralExpr:
		return true
	case *js.ObjectExpr:
		return len(d.List) == 0
	}
	return false
}
