// Examples fails if there is an exported type in a public package that no example of the
// package uses: what go doc shows is then without a line of how.
//
//	go run ./examples ../..
package main

import (
	"fmt"
	"go/ast"
	"go/types"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	log.SetFlags(0)
	missing, err := check(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range missing {
		fmt.Printf("%s is in no example of its package\n", name)
	}
	if missing != nil {
		os.Exit(1)
	}
}

// check returns the types without an example of all modules below root.
func check(root string) (missing []string, err error) {
	types := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (slices.Contains([]string{"internal", "examples", "testdata", "cmd"}, d.Name()) || strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case d.Name() != "go.mod":
			return nil
		}
		found, n, err := module(filepath.Dir(path))
		missing, types = append(missing, found...), types+n
		return err
	})
	if err == nil && types == 0 {
		err = fmt.Errorf("%s: no exported types", root)
	}
	return missing, err
}

// module returns which of the exported types of a module's public packages have no example,
// and how many there are in all.
func module(dir string) (missing []string, all int, err error) {
	config := &packages.Config{
		Dir: dir, Tests: true,
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo |
			packages.NeedImports | packages.NeedForTest | packages.NeedModule,
	}
	loaded, err := packages.Load(config, "./...")
	if err != nil {
		return nil, 0, err
	}
	exported, used := map[string]bool{}, map[string]bool{}
	for _, p := range loaded {
		for _, e := range p.Errors {
			return nil, 0, fmt.Errorf("%s: %v", p.ID, e)
		}
		if slices.ContainsFunc(strings.Split(p.PkgPath, "/"), func(e string) bool { return e == "internal" || e == "examples" || e == "cmd" }) {
			continue
		}
		if p.ForTest == "" && p.Name != "main" {
			for _, name := range p.Types.Scope().Names() {
				if t, ok := p.Types.Scope().Lookup(name).(*types.TypeName); ok && t.Exported() {
					exported[p.PkgPath+"."+name] = true
				}
			}
		}
		if p.ForTest != "" {
			uses(p, used)
		}
	}
	for name := range exported {
		if !used[name] {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	return missing, len(exported), nil
}

// uses notes which types of the package that it tests the examples of p have.
func uses(p *packages.Package, used map[string]bool) {
	note := func(t types.Type) {
		if pointer, ok := types.Unalias(t).(*types.Pointer); ok {
			t = pointer.Elem()
		}
		var name *types.TypeName
		switch t := t.(type) {
		case *types.Named:
			name = t.Obj()
		case *types.Alias:
			name = t.Obj()
		}
		if name != nil && name.Pkg() != nil && name.Pkg().Path() == p.ForTest {
			used[p.ForTest+"."+name.Name()] = true
		}
	}
	for _, file := range p.Syntax {
		var shown []ast.Node
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Example") {
				shown = append(shown, f.Body)
			}
		}
		if len(shown) == 1 {
			shown[0] = file // go doc shows all of it
		}
		for _, node := range shown {
			ast.Inspect(node, func(n ast.Node) bool {
				if e, ok := n.(ast.Expr); ok && p.TypesInfo.TypeOf(e) != nil {
					note(p.TypesInfo.TypeOf(e))
				}
				return true
			})
		}
	}
}
