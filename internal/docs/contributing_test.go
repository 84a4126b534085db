package docs

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestContributing: whoever wants to run a proof at its full length finds the variable or
// the flag for it in CONTRIBUTING.md, and each module of proofs.
func TestContributing(t *testing.T) {
	files, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	page := files["CONTRIBUTING.md"]
	all := files.knobs()
	for _, k := range all {
		if !regexp.MustCompile(`[^\w-]` + k.name + `\b`).MatchString(page) {
			t.Errorf("%s: CONTRIBUTING.md does not say what %s does", k.file, k.name)
		}
	}
	if len(all) < 20 {
		t.Errorf("only %d variables and flags were found: they are looked for in the wrong way", len(all))
	}
	for _, name := range files.names("/go.mod") {
		if dir := path.Dir(name); strings.HasPrefix(dir, "internal/") && !strings.Contains(page, "`"+dir+"`") {
			t.Errorf("CONTRIBUTING.md does not say what %s is for", dir)
		}
	}
}

// A knob is what somebody sets to have tests do more, or something else.
type knob struct{ name, file string }

// knobs returns the variables and flags that tests, and what helps them, look at; not those
// by which a test tells a process of its own what to be, and not those of others.
func (t tree) knobs() (all []knob) {
	var (
		read    = regexp.MustCompile(`(?:Getenv|LookupEnv)\("([A-Z_0-9]+)"\)|process\.env\.([A-Z_0-9]+)|(?m:^var \w+ += flag)\.[A-Z]\w+\("(\w+)"`)
		foreign = []string{"PATH", "GOFLAGS", "GIT_CONFIG_COUNT", "NODE_ENV"}
	)
	for _, file := range t.names(".go", ".mjs") {
		if strings.HasSuffix(file, "example_test.go") {
			continue // what it reads is the reader's own
		}
		test := strings.HasSuffix(file, "_test.go") || strings.HasPrefix(file, "client/test/")
		if !test && (!strings.HasPrefix(file, "internal/") || strings.HasPrefix(file, "internal/tools/")) {
			continue
		}
		for _, m := range read.FindAllStringSubmatch(t[file], -1) {
			name := m[1] + m[2]
			if m[3] != "" {
				name = "-" + m[3]
			}
			if !slices.Contains(foreign, name) && !t.sets(path.Dir(file), name) {
				all = append(all, knob{name, file})
			}
		}
	}
	return all
}

// sets says whether a file in a directory gives a variable to a process.
func (t tree) sets(dir, name string) bool {
	for file, text := range t {
		if path.Dir(file) == dir && (strings.Contains(text, `"`+name+`=`) || strings.Contains(text, `Setenv("`+name+`"`)) {
			return true
		}
	}
	return false
}
