package docs

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A kind says how fragments of a language are held.
type kind struct {
	endings []string // of the files that they may be cut out of; none: any but Markdown
	comment string   // begins a comment that ends with the line
	errors  bool     // has ifs for errors, which pages leave out
	loose   bool     // may begin and end inside a line, as what stands in a string of Go does
	command bool     // is what somebody types
}

var script = kind{endings: []string{".js", ".mjs", ".jsx", ".ts", ".html", ".go"}, comment: "//", loose: true}

var kinds = map[string]kind{
	"go":         {endings: []string{".go"}, comment: "//", errors: true},
	"js":         script,
	"mjs":        script,
	"jsx":        script,
	"ts":         script,
	"html":       {endings: script.endings, loose: true},
	"css":        {endings: []string{".css", ".html", ".go"}, loose: true},
	"json":       {loose: true},
	"http":       {loose: true},
	"sql":        {comment: "--", loose: true},
	"nginx":      {comment: "#"},
	"caddyfile":  {comment: "#"},
	"haproxy":    {comment: "#"},
	"apache":     {comment: "#"},
	"ini":        {comment: "#"},
	"yaml":       {comment: "#"},
	"toml":       {comment: "#"},
	"dockerfile": {comment: "#"},
	"diff":       {},
	"sh":         {command: true},
	"console":    {command: true},
	"":           {command: true},
	"text":       {command: true},
}

// line is a line of a text as it is compared, with its number.
type line struct {
	number int
	text   string
}

var spaces = regexp.MustCompile(`[ \t]+`)

// gap is a line that stands for some that are left out.
var gap = regexp.MustCompile(`^(//|#|--|<!--|/\*)? *…( *-->| *\*/)?$`)

// normal returns the lines that are compared: without indentation, comments and empty lines.
func (k kind) normal(text string) []line {
	var lines []line
	n := 0
	for s := range strings.Lines(text) {
		n++
		s = strings.TrimSpace(spaces.ReplaceAllString(s, " "))
		if !gap.MatchString(s) {
			s = k.withoutComment(s)
		}
		if s != "" {
			lines = append(lines, line{n, s})
		}
	}
	if k.errors {
		lines = withoutErrors(lines)
	}
	return lines
}

// withoutErrors cuts what only ends a function, or a program, after an error.
func withoutErrors(lines []line) (rest []line) {
	for i := 0; i < len(lines); i++ {
		if i+2 < len(lines) && lines[i].text == "if err != nil {" && lines[i+2].text == "}" {
			i += 2
			continue
		}
		rest = append(rest, lines[i])
	}
	return rest
}

// withoutComment cuts a comment that begins at a space and outside a quoted text.
func (k kind) withoutComment(s string) string {
	for at := 0; k.comment != ""; {
		i := strings.Index(s[at:], k.comment)
		if i < 0 {
			break
		}
		at += i
		before := s[:at]
		if (before == "" || strings.HasSuffix(before, " ")) && strings.Count(strings.ReplaceAll(before, `\"`, ""), `"`)%2 == 0 {
			return strings.TrimSpace(before)
		}
		at += len(k.comment)
	}
	return s
}

// parts are what is between the gaps.
func (k kind) parts(text string) [][]line {
	var parts [][]line
	var part []line
	for _, l := range k.normal(text) {
		if !gap.MatchString(l.text) {
			part = append(part, l)
			continue
		}
		if len(part) > 0 {
			parts = append(parts, part)
		}
		part = nil
	}
	if len(part) > 0 {
		parts = append(parts, part)
	}
	return parts
}

// same compares the line of a part with that of a file.
func (k kind) same(part []line, i int, file string) bool {
	want := part[i].text
	first, last := k.loose && i == 0, k.loose && i == len(part)-1
	switch {
	case first && last:
		return strings.Contains(file, want)
	case first:
		return strings.HasSuffix(file, want)
	case last:
		return strings.HasPrefix(file, want)
	}
	return file == want
}

// run is how many lines of the part, from i, stand in the file from at.
func (k kind) run(part []line, i int, file []line, at int) int {
	n := 0
	for i+n < len(part) && at+n < len(file) && k.same(part, i+n, file[at+n].text) {
		n++
	}
	return n
}

// in looks for the parts, one behind the other, and returns how many there are.
func (k kind) in(file []line, parts [][]line) int {
	at := 0
	for n, part := range parts {
		for ; ; at++ {
			if at+len(part) > len(file) {
				return n
			}
			if k.run(part, 0, file, at) == len(part) {
				break
			}
		}
		at += len(part)
	}
	return len(parts)
}

// checker looks for the fragments of pages in the files of a repository.
type checker struct {
	files tree
	lines map[string][]line // of files, by comment and name
	pages map[string]page
}

func newChecker(files tree) *checker {
	c := &checker{files: files, lines: map[string][]line{}, pages: map[string]page{}}
	for _, name := range files.names(".md") {
		if path.Dir(name) != "testdata" {
			c.pages[name] = parse(name, files[name])
		}
	}
	return c
}

func (c *checker) normal(k kind, name string) []line {
	if k.comment == "" && strings.HasSuffix(name, ".go") {
		k.comment = "//" // nothing runs the comments of Go
	}
	key := fmt.Sprint(k.comment, k.errors, name)
	if _, ok := c.lines[key]; !ok {
		c.lines[key] = k.normal(c.files[name])
	}
	return c.lines[key]
}

// check says what is wrong with a fragment, or returns the file that has it.
func (c *checker) check(f fragment) (source string, wrong error) {
	k, ok := kinds[f.language()]
	if !ok {
		return "", fmt.Errorf("%s: nobody knows how to hold a fragment of %q: see kinds in internal/docs", f, f.language())
	}
	if k.command {
		return "", nil // TestCommands
	}
	if reader, err := c.reader(f); reader != "" || err != nil {
		return reader, err
	}
	parts := k.parts(f.text)
	if len(parts) == 0 {
		return "", fmt.Errorf("%s: nothing but comments", f)
	}
	endings := k.endings
	if len(endings) == 0 {
		endings = []string{""}
	}
	var untested string
	for _, name := range c.files.names(endings...) {
		if strings.HasSuffix(name, ".md") || c.files[name] == "" || k.in(c.normal(k, name), parts) < len(parts) {
			continue
		}
		if c.files.tested(name) {
			return name, nil
		}
		untested = name
	}
	if untested != "" {
		return "", fmt.Errorf("%s: it is in %s, which no test runs", f, untested)
	}
	return "", fmt.Errorf("%s: %s", f, c.miss(k, endings, parts))
}

// reader returns the test that reads the page and runs the fragment, which has a name, or
// for SQL the databases that it is for.
func (c *checker) reader(f fragment) (string, error) {
	name := f.file()
	if name == "" && (f.language() != "sql" || len(f.info) < 2) {
		return "", nil
	}
	for _, test := range c.files.names("_test.go", ".test.mjs") {
		if strings.Contains(c.files[test], f.page+`"`) && (name == "" || c.uses(f, test, []string{name})) {
			return test, nil
		}
	}
	if name == "" {
		return "", fmt.Errorf("%s: no test reads the page", f)
	}
	return "", fmt.Errorf("%s: no test reads the page and uses %s", f, name)
}

// uses reports whether the test names one of the files, or one that imports it.
func (c *checker) uses(f fragment, test string, names []string) bool {
	quoted := regexp.MustCompile("[\"'`/]" + regexp.QuoteMeta(names[0]) + "[\"'`]")
	if quoted.MatchString(c.files[test]) {
		return true
	}
	for _, other := range c.pages[f.page].fragments {
		if of := other.file(); of != "" && !slices.Contains(names, of) && quoted.MatchString(other.text) &&
			c.uses(f, test, append([]string{of}, names...)) {
			return true
		}
	}
	return false
}
