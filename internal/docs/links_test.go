package docs

import (
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestLinks follows each link of each page, and each mention of a page elsewhere.
func TestLinks(t *testing.T) {
	files, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	c := newChecker(files)
	d := docLinks{root: root}
	links := 0
	for _, name := range files.names(".md") {
		for _, l := range c.pages[name].links {
			links++
			if err := c.checkLink(c.pages[name], l); err != nil {
				t.Error(err)
			}
			if pkg, of, ok := reference(l.text); ok && !d.has(pkg, of) {
				t.Errorf("%s:%d: %s: there is no such package, or name in it", name, l.line, l.text)
			}
		}
	}
	for _, name := range files.names("") {
		// Made-up pages are in the tests of this package.
		if path.Ext(name) != ".md" && path.Dir(name) != "internal/docs" {
			for _, err := range c.checkMentions(name) {
				t.Error(err)
			}
		}
	}
	if links < 100 {
		t.Errorf("only %d links were found: they are looked for in the wrong way", links)
	}
	// Who reads one of these gets to every page, and the index names each of docs itself.
	pages := slices.Sorted(maps.Keys(c.pages))
	for _, from := range []string{"README.md", "docs/README.md"} {
		if _, ok := c.pages[from]; !ok {
			t.Fatalf("there is no %s", from)
		}
		reached := c.reachable(from)
		for _, name := range pages {
			if !reached[name] && !strings.Contains(name, "testdata/") {
				t.Errorf("no way leads from %s to %s", from, name)
			}
		}
	}
	index := map[string]bool{}
	for _, l := range c.pages["docs/README.md"].links {
		target, _, _ := strings.Cut(l.text, "#")
		index[path.Join("docs", target)] = true
	}
	for _, name := range pages {
		if path.Dir(name) == "docs" && name != "docs/README.md" && !index[name] {
			t.Errorf("docs/README.md does not name %s", name)
		}
	}
}

func TestLinksFollowed(t *testing.T) {
	files := tree{
		"README.md": strings.Join([]string{
			"# A `Config`, and a `h.Ready()`: what's new?", "## Twice", "## Twice", "### Über_uns – 1 & 2", `<a id="by-hand"></a>`,
			"[file](docs/a.md) [dir](docs) [own](#twice) [second](#twice-1) [head](#a-config-and-a-hready-whats-new) [mail](mailto:a@b.example)",
			"[umlaut](#%C3%BCber_uns--1--2) [by hand](#by-hand) [there](docs/a.md#in-a) <https://go.dev/x> [abroad](https://github.com/pagebeacon/beacon/blob/main/docs/a.md#in-a) [ref] ![image](docs/x.png)",
			"", "[ref]: docs/a.md",
			"", "`[code](nowhere)`", "", "```", "[code](nowhere)", "```",
		}, "\n"),
		"docs/a.md":  "# In *a*\n[up](../README.md#twice) [source](../main.go)",
		"docs/x.png": "",
		"main.go":    "package main\n\n// See docs/a.md#in-a, README.md and docs/x.md.\n",
	}
	c := newChecker(files)
	if n := len(c.pages["README.md"].links); n != 13 {
		t.Errorf("%d links", n)
	}
	for _, p := range c.pages {
		for _, l := range p.links {
			if err := c.checkLink(p, l); err != nil {
				t.Error(err)
			}
		}
	}
	if errs := c.checkMentions("main.go"); len(errs) != 1 || errs[0].Error() != "main.go:3: docs/x.md: there is no docs/x.md" {
		t.Error(errs)
	}
	for link, want := range map[string]string{
		"":                   "leads nowhere",
		"docs/b.md":          "there is no docs/b.md",
		"../other/README.md": "there is no ../other/README.md",
		"/docs/a.md":         "the root of its own site",
		"#thrice":            "no such heading",
		"#twice-2":           `nearest are ["twice"`,
		"docs/a.md#twice":    "docs/a.md has no such heading",
		"main.go#L3":         "does not last",
		"http://go.dev":      "not an https address",
		"https://github.com/pagebeacon/beacon/blob/main/docs/b.md": "there is no docs/b.md",
		"https://":               "not an https address",
		"https://localhost/x":    "not an https address",
		"//go.dev/x":             "not an https address",
		"https://a:b@go.dev/x":   "not an https address",
		"https://go.dev/%zz":     "invalid URL escape",
		"javascript:alert('no')": "not an https address",
	} {
		if err := c.checkLink(c.pages["README.md"], span{7, link}); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "README.md:7: ") {
			t.Errorf("%s: %v, want %s", link, err, want)
		}
	}
	files["docs/lost.md"] = "[back](a.md)"
	c = newChecker(files)
	if r := c.reachable("README.md"); r["docs/lost.md"] || !r["docs/a.md"] {
		t.Error(r)
	}
	if r := c.reachable("docs/lost.md"); len(r) != 3 {
		t.Error(r)
	}
}
