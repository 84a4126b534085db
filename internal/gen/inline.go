package main

import (
	"slices"

	"github.com/tdewolff/parse/v2/js"
)

// inline puts each arrow function that is called in one place, and is nothing else, into
// that place: its name need not be written, nor those of its parameters for which there is
// one. The variables of script must all have different names, as unique gives them.
// And what is then not needed is left out.
func inline(script string) (string, error) {
	for {
		tree, err := parseJS(script)
		if err != nil {
			return "", err
		}
		if !inlineOne(tree) {
			drop(tree)
			return tree.JSString(), nil
		}
		script = tree.JSString()
	}
}

// inlineOne does that with the first function that it can be done with.
func inlineOne(tree *js.AST) bool {
	u := usesIn(tree)
	done := false
	walk(tree, func(n js.INode) {
		block, ok := n.(*js.BlockStmt)
		for i := 0; ok && !done && i < len(block.List); i++ {
			d, ok := block.List[i].(*js.VarDecl)
			for j := 0; ok && !done && j < len(d.List); j++ {
				if f, ok := d.List[j].Binding.(*js.Var); !ok || !u.move(f, d.List[j].Default) {
					continue
				}
				done = true
				if d.List = slices.Delete(d.List, j, j+1); len(d.List) == 0 {
					block.List = slices.Delete(block.List, i, i+1)
				}
			}
		}
	})
	link(tree)
	return done
}

// move puts value, which f stands for, into the place of f, if it has one and means
// the same there.
func (u *uses) move(f *js.Var, value js.IExpr) bool {
	if u.count[f] != 2 || u.assigned[f] || mentions(value, f) {
		return false
	}
	arrow, ok := value.(*js.ArrowFunc)
	if call := u.calls[f]; ok && call != nil && !placed(arrow) {
		call.X = &js.GroupExpr{X: arrow}
		u.merge(arrow, call)
		return true
	}
	// As a value it must be made once, as it was.
	if place := u.values[f]; place != nil && u.once[f] && (ok || u.plain(value)) {
		*place = value
		return true
	}
	return false
}

// plain reports whether value is a class that is the same whenever it is made.
func (u *uses) plain(value js.IExpr) bool {
	class, ok := value.(*js.ClassDecl)
	if !ok {
		return false
	}
	if parent, ok := class.Extends.(*js.Var); class.Extends != nil && (!ok || u.assigned[root(parent)]) {
		return false
	}
	return !slices.ContainsFunc(class.List, func(e js.ClassElement) bool { return e.Method == nil || e.Method.Name.Computed != nil })
}

// placed reports whether arrow means something else in another function.
func placed(arrow *js.ArrowFunc) (yes bool) {
	walk(arrow, func(n js.INode) {
		switch n := n.(type) {
		case *js.Var:
			yes = yes || string(n.Name()) == "arguments"
		case *js.LiteralExpr:
			yes = yes || n.TokenType == js.ThisToken || n.TokenType == js.SuperToken
		case *js.NewTargetExpr:
			yes = true
		}
	})
	return yes
}

func mentions(n js.INode, f *js.Var) (yes bool) {
	walk(n, func(n js.INode) {
		if v, ok := n.(*js.Var); ok && root(v) == f {
			yes = true
		}
	})
	return yes
}

// merge leaves out the parameters that are only another name of a variable: neither
// changes.
func (u *uses) merge(arrow *js.ArrowFunc, call *js.CallExpr) {
	params, args := &arrow.Params, &call.Args
	if params.Rest != nil || slices.ContainsFunc(args.List, func(a js.Arg) bool { return a.Rest }) {
		return
	}
	for i := min(len(params.List), len(args.List)) - 1; i >= 0; i-- {
		param, ok := params.List[i].Binding.(*js.Var)
		arg, isName := args.List[i].Value.(*js.Var)
		if !ok || !isName || params.List[i].Default != nil {
			continue
		}
		if param, arg = root(param), root(arg); arg.Decl == js.NoDecl || u.assigned[arg] || u.assigned[param] {
			continue
		}
		param.Data = arg.Data
		params.List = slices.Delete(params.List, i, i+1)
		args.List = slices.Delete(args.List, i, i+1)
	}
}
