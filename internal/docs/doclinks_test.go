package docs

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocLinks: what comments of exported names have in brackets is the name of something.
func TestDocLinks(t *testing.T) {
	files, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	d := docLinks{root: root}
	seen := map[string]bool{}
	for _, name := range files.names(".go") {
		if dir := path.Dir(name); !seen[dir] && path.Base(dir) != "testdata" {
			seen[dir] = true
			if err := d.check(dir); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestDocLinksFollowed(t *testing.T) {
	d := docLinks{root: t.TempDir()}
	for name, text := range map[string]string{
		"other/other.go": "package other\n\ntype T struct{ F int }\n\nfunc (T) M() {}\n",
		"main/main.go": `// Package main has [Exported], [encoding/json.Marshal], [fmt] and [` + modulePath + `/other.T.M].
// And [Nothing], [fmt.Nothing], [` + modulePath + `/other.T.N].
//
// # A heading with [NoHeading]
//
//   - a list with [*NoItem]
//
// a[I] and [] and [text] are no names. [A page] is one.
//
//	code with [NoCode]
//
// [A page]: https://go.dev
package main

import "fmt"

// Exported has [Exported.Field], [Exported.String] and [Exported.Nothing].
type Exported struct {
	// Field is as [Exported.None] is.
	Field int // and [NoComment]
	// hidden is [NoField].
	hidden int
}

// String is [hidden], or [NoMethod].
func (*Exported) String() string { return fmt.Sprint() }

// hidden is [NoHidden].
func hidden() {}

// Of a value: [NoValue].
var V = 1
`,
	} {
		file := filepath.Join(d.root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	err := d.check("main")
	if err == nil {
		t.Fatal("nothing was found")
	}
	var got []string
	for line := range strings.Lines(err.Error()) {
		_, name, _ := strings.Cut(line, "[")
		name, _, _ = strings.Cut(name, "]")
		got = append(got, strings.TrimPrefix(name, modulePath+"/"))
	}
	want := "Nothing fmt.Nothing other.T.N NoHeading NoItem Exported.None Exported.Nothing NoMethod NoValue"
	if g := strings.Join(got, " "); g != want {
		t.Errorf("got  %s\nwant %s", g, want)
	}
	if first, _, _ := strings.Cut(err.Error(), "\n"); first != "main/main.go:1: [Nothing] leads nowhere" {
		t.Error(first)
	}
	for link, want := range map[string]bool{
		"https://pkg.go.dev/" + modulePath + "/other":     true,
		"https://pkg.go.dev/" + modulePath + "/other#T.M": true,
		"https://pkg.go.dev/" + modulePath + "/other#T.N": false,
		"https://pkg.go.dev/" + modulePath + "/another":   false,
	} {
		if pkg, name, ok := reference(link); !ok || d.has(pkg, name) != want {
			t.Errorf("%s: %s, %s, %v", link, pkg, name, ok)
		}
	}
	if _, _, ok := reference("https://pkg.go.dev/fmt"); ok {
		t.Error("fmt is not ours")
	}
}
