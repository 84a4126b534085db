// Package docs holds the documentation to the code: a fragment on a page is cut out of a
// file that a test runs, a command names what exists, a link leads somewhere.
//
// The pages are outside of this module, where go test does not see that they have changed:
//
//	go test -count=1 ./...
//
// Programs and tests that pages show, and that fit nowhere else, are tests of this package.
package docs

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// tree is the text of a repository, by path from its root.
type tree map[string]string

// Root is the way from this package to the root of the repository.
const root = "../.."

// repository reads the files that git knows or would take.
var repository = sync.OnceValues(func() (tree, error) {
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	names, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	files := tree{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		b, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // removed, and that is not committed yet
		}
		if err != nil {
			return nil, err
		}
		if len(b) < 1<<20 && utf8.Valid(b) && !bytes.ContainsRune(b, 0) {
			files[name] = string(b)
		} else {
			files[name] = ""
		}
	}
	return files, nil
})

// names returns the paths with one of the endings, sorted.
func (t tree) names(endings ...string) []string {
	var names []string
	for name := range t {
		if slices.ContainsFunc(endings, func(e string) bool { return strings.HasSuffix(name, e) }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func isTest(name string) bool {
	return strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".test.mjs") || strings.HasSuffix(name, ".test.ts")
}

// tested reports whether a test runs the file, as far as names tell: it is one, there is
// one in its directory or above it, or one names it.
func (t tree) tested(name string) bool {
	if isTest(name) {
		return true
	}
	source := slices.Contains([]string{".go", ".js", ".mjs", ".ts", ".html", ".css"}, path.Ext(name))
	for dir := path.Dir(name); source && dir != "."; dir = path.Dir(dir) {
		if t.hasTest(dir) {
			return true
		}
		if strings.HasSuffix(name, ".go") {
			break // another package
		}
	}
	if path.Dir(name) == "." && source {
		return true // the root has tests
	}
	for f, text := range t {
		if isTest(f) && (path.Dir(name) != "." && strings.Contains(text, path.Dir(name)+`"`) || strings.Contains(text, name) ||
			strings.HasPrefix(name, path.Dir(f)+"/") && strings.Contains(text, path.Base(name))) {
			return true
		}
	}
	return false
}

func (t tree) hasTest(dir string) bool {
	for f := range t {
		if isTest(f) && (path.Dir(f) == dir || path.Dir(f) == dir+"/test") {
			return true
		}
	}
	return false
}

// has reports whether there is such a file or directory.
func (t tree) has(name string) bool {
	name = path.Clean(name)
	if _, ok := t[name]; ok || name == "." {
		return true
	}
	for f := range t {
		if strings.HasPrefix(f, name+"/") {
			return true
		}
	}
	return false
}
