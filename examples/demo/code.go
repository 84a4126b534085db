package main

import (
	_ "embed"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"runtime"
	"strconv"
	"strings"
)

// The page shows the code that got an event: the source this program was built from, so
// that it cannot be another.
//
//go:embed got.go
var source string

// A code is a function of got.go.
type code struct {
	At   string `json:"at"`   // file and line
	Text string `json:"text"` // all of it
	body string // what it does
}

var codes = parse(source)

// parse returns the functions of a file by their names. Of one that does not parse it
// returns none: the demo works without.
func parse(source string) map[string]code {
	all := map[string]code{}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "got.go", source, parser.SkipObjectResolution)
	if err != nil {
		return all
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		at := files.Position(f.Pos())
		text := source[at.Offset:files.Position(f.End()).Offset]
		text = strings.ReplaceAll(text, "\t", "    ")
		_, body, _ := strings.Cut(strings.TrimSuffix(text, "\n}"), "\n    ")
		all[f.Name.Name] = code{at.Filename + ":" + strconv.Itoa(at.Line), text, strings.ReplaceAll(body, "\n    ", "\n")}
	}
	return all
}

// code returns the source of a handler, by the name that it has in this program.
func (h handler) code() code {
	name := runtime.FuncForPC(reflect.ValueOf(h).Pointer()).Name()
	return codes[name[strings.LastIndexByte(name, '.')+1:]]
}
