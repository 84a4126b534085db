package docs

import (
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
)

// commentFragments returns the blocks of Go in the comments of a file that go doc shows,
// if hosts import its package.
func commentFragments(files tree, name string) (all []fragment) {
	dirs := strings.Split(path.Dir(name), "/")
	if isTest(name) || slices.Contains(dirs, "internal") || slices.Contains(dirs, "examples") {
		return nil
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, files[name], parser.ParseComments)
	if err != nil {
		return nil // the compiler says so
	}
	for _, group := range shown(f) {
		text := group.Text()
		for _, block := range new(comment.Parser).Parse(text).Content {
			code, ok := block.(*comment.Code)
			if !ok || !isGo(code.Text) {
				continue
			}
			first, _, _ := strings.Cut(code.Text, "\n")
			before, _, _ := strings.Cut(text, first)
			line := fset.Position(group.Pos()).Line + strings.Count(before, "\n")
			all = append(all, fragment{page: name, line: line, info: []string{"go"}, text: code.Text})
		}
	}
	return all
}

// isGo reports whether a text is statements that call something. What is left out may be
// between them.
func isGo(text string) bool {
	var lines []string
	for line := range strings.Lines(text) {
		if !gap.MatchString(strings.TrimSpace(line)) {
			lines = append(lines, line)
		}
	}
	f, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc _() {\n"+strings.Join(lines, "")+"\n}", 0)
	calls := false
	if err == nil {
		ast.Inspect(f, func(n ast.Node) bool {
			_, call := n.(*ast.CallExpr)
			calls = calls || call
			return true
		})
	}
	return calls
}
