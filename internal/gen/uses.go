package main

import "github.com/tdewolff/parse/v2/js"

// uses is what a tree does with its variables.
type uses struct {
	count    map[*js.Var]int // with the declaration
	assigned map[*js.Var]bool
	calls    map[*js.Var]*js.CallExpr
	values   map[*js.Var]*js.IExpr // as an argument, or in an object
	once     map[*js.Var]bool      // used in the function that declares it, in no loop

	within map[*js.Var]js.INode // the function or loop of the first use seen
}

func usesIn(tree *js.AST) *uses {
	u := &uses{map[*js.Var]int{}, map[*js.Var]bool{}, map[*js.Var]*js.CallExpr{}, map[*js.Var]*js.IExpr{}, map[*js.Var]bool{}, map[*js.Var]js.INode{}}
	for v := range exported(tree) {
		u.count[v]++
	}
	js.Walk(usesWithin{u, tree}, tree)
	return u
}

type usesWithin struct {
	*uses
	function js.INode // or loop, or class
}

func (u usesWithin) Enter(n js.INode) js.IVisitor {
	switch n := n.(type) {
	case *js.Var:
		v := root(n)
		u.once[v] = u.count[v] > 0 && u.within[v] == u.function
		u.within[v] = u.function
		u.count[v]++
	case *js.CallExpr:
		if f, ok := n.X.(*js.Var); ok && !n.Optional {
			u.calls[root(f)] = n
		}
	case *js.Property:
		if v, ok := n.Value.(*js.Var); ok && n.Name != nil && n.Init == nil {
			u.values[root(v)] = &n.Value
		}
	case *js.Arg:
		if v, ok := n.Value.(*js.Var); ok && !n.Rest {
			u.values[root(v)] = &n.Value
		}
	case *js.UnaryExpr:
		if n.Op >= js.PreIncrToken && n.Op <= js.PostDecrToken {
			u.assign(n.X)
		}
	case *js.BinaryExpr:
		if assigns[n.Op] {
			u.assign(n.X)
		}
	case *js.ForInStmt:
		u.assign(n.Init)
		return usesWithin{u.uses, n}
	case *js.ForOfStmt:
		u.assign(n.Init)
		return usesWithin{u.uses, n}
	case *js.ForStmt, *js.WhileStmt, *js.DoWhileStmt, *js.ArrowFunc, *js.FuncDecl, *js.MethodDecl, *js.ClassDecl:
		return usesWithin{u.uses, n}
	}
	return u
}

func (usesWithin) Exit(js.INode) {}

// assign notes which variables an assignment to n changes: all names in it, if it is a
// pattern, and none if it is something's property.
func (u *uses) assign(n js.INode) {
	switch n.(type) {
	case *js.Var, *js.ArrayExpr, *js.ObjectExpr, *js.VarDecl, *js.GroupExpr:
		walk(n, func(n js.INode) {
			if v, ok := n.(*js.Var); ok {
				u.assigned[root(v)] = true
			}
		})
	}
}

var assigns = map[js.TokenType]bool{
	js.EqToken: true, js.AddEqToken: true, js.SubEqToken: true, js.MulEqToken: true, js.ExpEqToken: true,
	js.DivEqToken: true, js.ModEqToken: true, js.LtLtEqToken: true, js.GtGtEqToken: true, js.GtGtGtEqToken: true,
	js.BitAndEqToken: true, js.BitOrEqToken: true, js.BitXorEqToken: true,
	js.AndEqToken: true, js.OrEqToken: true, js.NullishEqToken: true,
}
