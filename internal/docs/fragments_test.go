package docs

import (
	"strings"
	"testing"
)

// TestFragments finds each fragment of each page in a file that a test runs.
func TestFragments(t *testing.T) {
	files, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	c := newChecker(files)
	held := 0
	for _, name := range files.names(".md") {
		for _, f := range c.pages[name].fragments {
			source, err := c.check(f)
			if err != nil {
				t.Error(err)
			} else if source != "" {
				held++
				if testing.Verbose() {
					t.Logf("%s: %s", f, source)
				}
			}
		}
	}
	if held < 20 {
		t.Errorf("only %d fragments were found: they are looked for in the wrong way", held)
	}
}

// TestSpans: nothing of a fragment got into the code of a sentence.
func TestSpans(t *testing.T) {
	files, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	spans := 0
	for name, p := range newChecker(files).pages {
		for _, s := range p.spans {
			if spans++; strings.Contains(s.text, "\t") {
				t.Errorf("%s:%d: a tab in %q", name, s.line, s.text)
			}
		}
	}
	if spans < 1000 {
		t.Errorf("only %d were found: they are looked for in the wrong way", spans)
	}
}
