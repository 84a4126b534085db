// Circles fails if files of a package use each other in a circle: a file then cannot be
// read before those that it stands on.
//
//	go run ./circles ../..
package main

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	uses, err := fileUses(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	found := false
	for _, from := range slices.Sorted(maps.Keys(uses)) {
		for _, to := range slices.Sorted(maps.Keys(uses[from])) {
			if reaches(uses, to, from, map[string]bool{}) {
				found = true
				fmt.Printf("%s uses %s, which uses it: %s\n", from, to, strings.Join(slices.Sorted(maps.Keys(uses[from][to])), ", "))
			}
		}
	}
	if found {
		os.Exit(1)
	}
}

// fileUses returns, for each file of the package in dir, the files that it uses and by
// which names. Fields do not count: their type does.
func fileUses(dir string) (map[string]map[string]map[string]bool, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	info := types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "source", nil), Error: func(error) {}} // what cannot be imported is not of this package
	pkg, _ := conf.Check("p", fset, files, &info)
	uses := map[string]map[string]map[string]bool{}
	for id, obj := range info.Uses {
		_, isFunc := obj.(*types.Func)
		if obj.Pkg() != pkg || obj.Parent() != pkg.Scope() && !isFunc {
			continue
		}
		from, to := filepath.Base(fset.Position(id.Pos()).Filename), filepath.Base(fset.Position(obj.Pos()).Filename)
		if from == to {
			continue
		}
		if uses[from] == nil {
			uses[from] = map[string]map[string]bool{}
		}
		if uses[from][to] == nil {
			uses[from][to] = map[string]bool{}
		}
		uses[from][to][obj.Name()] = true
	}
	if len(uses) == 0 {
		return nil, fmt.Errorf("%s: no file uses another", dir)
	}
	return uses, nil
}

func reaches(uses map[string]map[string]map[string]bool, from, to string, seen map[string]bool) bool {
	if from == to {
		return true
	}
	if seen[from] {
		return false
	}
	seen[from] = true
	for next := range uses[from] {
		if reaches(uses, next, to, seen) {
			return true
		}
	}
	return false
}
