package docs

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/doc"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// docLinks reads packages and follows what their comments have in brackets.
type docLinks struct {
	root  string
	names map[string]map[string]bool // exported names of packages that were asked for
}

// leftOver is what stands in brackets as a name does and was not made a link.
var leftOver = regexp.MustCompile(`(?:^|[\s(,;])\[\*?([A-Za-z_]\w*(?:\.[A-Z]\w*){0,2})\](?:$|[\s.,;:)'?!])`)

// check reads the package of a directory, and says which links of its comments lead nowhere.
func (d *docLinks) check(dir string) error {
	in, err := build.ImportDir(filepath.Join(d.root, dir), 0)
	if none := (*build.NoGoError)(nil); errors.As(err, &none) {
		return nil
	}
	if err != nil {
		return err
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range append(in.GoFiles, in.CgoFiles...) {
		f, err := parser.ParseFile(fset, filepath.Join(in.Dir, name), nil, parser.ParseComments)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil
	}
	var comments []*ast.CommentGroup // the shown ones, which doc takes apart
	for _, f := range files {
		comments = append(comments, shown(f)...)
	}
	p, err := doc.NewFromFiles(fset, files, path.Join(modulePath, dir), doc.PreserveAST)
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range comments {
		wrong := func(name string) {
			errs = append(errs, fmt.Errorf("%s: [%s] leads nowhere", d.position(fset, c.Pos()), name))
		}
		for _, b := range p.Parser().Parse(c.Text()).Content {
			d.block(path.Join(modulePath, dir), b, wrong)
		}
	}
	return errors.Join(errs...)
}

func (d *docLinks) position(fset *token.FileSet, p token.Pos) string {
	at := fset.Position(p)
	name, err := filepath.Rel(d.root, at.Filename)
	if err != nil {
		name = at.Filename
	}
	return fmt.Sprintf("%s:%d", filepath.ToSlash(name), at.Line)
}

// shown returns the comments of a file that go doc shows.
func shown(f *ast.File) (all []*ast.CommentGroup) {
	add := func(c *ast.CommentGroup) {
		if c != nil {
			all = append(all, c)
		}
	}
	add(f.Doc)
	for _, decl := range f.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if decl.Name.IsExported() && (decl.Recv == nil || ast.IsExported(receiver(decl))) {
				add(decl.Doc)
			}
		case *ast.GenDecl:
			exported := false
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					if spec.Name.IsExported() {
						exported = true
						add(spec.Doc)
						ast.Inspect(spec.Type, func(n ast.Node) bool {
							if field, ok := n.(*ast.Field); ok && (len(field.Names) == 0 || field.Names[0].IsExported()) {
								add(field.Doc)
							}
							return true
						})
					}
				case *ast.ValueSpec:
					if spec.Names[0].IsExported() {
						exported = true
						add(spec.Doc)
					}
				}
			}
			if exported {
				add(decl.Doc)
			}
		}
	}
	return all
}

// receiver is the name of the type that a method is of.
func receiver(f *ast.FuncDecl) string {
	t := f.Recv.List[0].Type
	for {
		switch of := t.(type) {
		case *ast.StarExpr:
			t = of.X
		case *ast.IndexExpr:
			t = of.X
		case *ast.IndexListExpr:
			t = of.X
		case *ast.Ident:
			return of.Name
		default:
			return ""
		}
	}
}

func (d *docLinks) block(in string, b comment.Block, wrong func(string)) {
	switch b := b.(type) {
	case *comment.Paragraph:
		d.text(in, b.Text, wrong)
	case *comment.Heading:
		d.text(in, b.Text, wrong)
	case *comment.List:
		for _, item := range b.Items {
			for _, b := range item.Content {
				d.block(in, b, wrong)
			}
		}
	}
}

func (d *docLinks) text(in string, text []comment.Text, wrong func(string)) {
	for _, t := range text {
		switch t := t.(type) {
		case comment.Plain:
			for _, m := range leftOver.FindAllStringSubmatch(string(t), -1) {
				// Fields of a struct are shown with it: the name is right, if it is no link.
				if (ast.IsExported(m[1]) || strings.Contains(m[1], ".")) && !d.has(in, m[1]) {
					wrong(m[1])
				}
			}
		case *comment.DocLink:
			name := t.Name
			if t.Recv != "" {
				name = t.Recv + "." + t.Name
			}
			if pkg := cmp.Or(t.ImportPath, in); !d.has(pkg, name) {
				wrong(pkg + "." + name)
			}
		case *comment.Link:
			d.text(in, t.Text, wrong)
		}
	}
}

// has reports whether a package exports the name: of a function, a type, a value, a
// method or a field. Packages of others have what one says.
func (d *docLinks) has(pkg, name string) bool {
	dir := filepath.Join(build.Default.GOROOT, "src", pkg)
	if rest, ok := strings.CutPrefix(pkg+"/", modulePath+"/"); ok {
		dir = filepath.Join(d.root, rest)
	} else if strings.Contains(strings.Split(pkg, "/")[0], ".") {
		return true
	}
	if _, ok := d.names[pkg]; !ok {
		if d.names == nil {
			d.names = map[string]map[string]bool{}
		}
		d.names[pkg] = exports(dir)
	}
	return name == "" && d.names[pkg] != nil || d.names[pkg][name]
}

// exports returns the exported names of a directory, whatever system they are for.
func exports(dir string) map[string]bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	names := map[string]bool{}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || isTest(e.Name()) {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, 0)
		if err != nil {
			continue
		}
		for _, decl := range f.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Recv == nil {
					names[decl.Name.Name] = true
				} else {
					names[receiver(decl)+"."+decl.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						names[spec.Name.Name] = true
						members(spec, names)
					case *ast.ValueSpec:
						for _, n := range spec.Names {
							names[n.Name] = true
						}
					}
				}
			}
		}
	}
	return names
}

// members adds the fields of a struct and the methods of an interface.
func members(spec *ast.TypeSpec, names map[string]bool) {
	var fields *ast.FieldList
	switch t := spec.Type.(type) {
	case *ast.StructType:
		fields = t.Fields
	case *ast.InterfaceType:
		fields = t.Methods
	default:
		return
	}
	for _, f := range fields.List {
		for _, n := range f.Names {
			names[spec.Name.Name+"."+n.Name] = true
		}
	}
}
