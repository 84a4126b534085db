package main

import (
	"slices"

	"github.com/tdewolff/parse/v2/js"
)

// inline puts each arrow function that is called in one place, and is nothing else, into
// that place: its name need not be written, nor those of its parameters for which there is
// one. The variables of script must all have different names, as unique gives them.
func inline(script string) (string, error) {
	for {
		tree, err := parseJS(script)
		if err != nil {
			return "", err
		}
		if !inlineOne(tree) {
			return script, nil
		}
		script = tree.JSString()
	}
}

// inlineOne does that with the first function that it can be done with.
func inlineOne(tree *js.AST) bool {
	uses, assigned, calls := map[*js.Var]int{}, map[*js.Var]bool{}, map[*js.Var]*js.CallExpr{}
	for v := range exported(tree) {
		uses[v]++
	}
	walk(tree, func(n js.INode) {
		switch n := n.(type) {
		case *js.Var:
			uses[root(n)]++
		case *js.CallExpr:
			if f, ok := n.X.(*js.Var); ok && !n.Optional {
				calls[root(f)] = n
			}
		case *js.UnaryExpr:
			if f, ok := n.X.(*js.Var); ok && n.Op >= js.PreIncrToken && n.Op <= js.PostDecrToken {
				assigned[root(f)] = true
			}
		case *js.BinaryExpr:
			if assigns[n.Op] {
				walk(n.X, func(n js.INode) { // a pattern, too
					if v, ok := n.(*js.Var); ok {
						assigned[root(v)] = true
					}
				})
			}
		case *js.ForInStmt:
			if v, ok := n.Init.(*js.Var); ok {
				assigned[root(v)] = true
			}
		case *js.ForOfStmt:
			if v, ok := n.Init.(*js.Var); ok {
				assigned[root(v)] = true
			}
		}
	})
	done := false
	walk(tree, func(n js.INode) {
		block, ok := n.(*js.BlockStmt)
		for i := 0; ok && !done && i < len(block.List); i++ {
			d, ok := block.List[i].(*js.VarDecl)
			for j := 0; ok && !done && j < len(d.List); j++ {
				f, _ := d.List[j].Binding.(*js.Var)
				arrow, ok := d.List[j].Default.(*js.ArrowFunc)
				if !ok || f == nil || uses[f] != 2 || assigned[f] || calls[f] == nil || placed(arrow, f) {
					continue
				}
				done = true
				if d.List = slices.Delete(d.List, j, j+1); len(d.List) == 0 {
					block.List = slices.Delete(block.List, i, i+1)
				}
				call := calls[f]
				call.X = &js.GroupExpr{X: arrow}
				merge(arrow, call, assigned)
			}
		}
	})
	link(tree)
	return done
}

// placed reports whether f, which arrow is the value of, means something else, or nothing,
// in another place.
func placed(arrow *js.ArrowFunc, f *js.Var) (yes bool) {
	walk(arrow, func(n js.INode) {
		switch n := n.(type) {
		case *js.Var:
			yes = yes || root(n) == f || string(n.Name()) == "arguments"
		case *js.LiteralExpr:
			yes = yes || n.TokenType == js.ThisToken || n.TokenType == js.SuperToken
		case *js.NewTargetExpr:
			yes = true
		}
	})
	return yes
}

// merge leaves out the parameters that are only another name of a variable: neither
// changes.
func merge(arrow *js.ArrowFunc, call *js.CallExpr, assigned map[*js.Var]bool) {
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
		if param, arg = root(param), root(arg); arg.Decl == js.NoDecl || assigned[arg] || assigned[param] {
			continue
		}
		param.Data = arg.Data
		params.List = slices.Delete(params.List, i, i+1)
		args.List = slices.Delete(args.List, i, i+1)
	}
}

var assigns = map[js.TokenType]bool{
	js.EqToken: true, js.AddEqToken: true, js.SubEqToken: true, js.MulEqToken: true, js.ExpEqToken: true,
	js.DivEqToken: true, js.ModEqToken: true, js.LtLtEqToken: true, js.GtGtEqToken: true, js.GtGtGtEqToken: true,
	js.BitAndEqToken: true, js.BitOrEqToken: true, js.BitXorEqToken: true,
	js.AndEqToken: true, js.OrEqToken: true, js.NullishEqToken: true,
}
