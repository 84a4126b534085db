package docs

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// command is a simple command of a shell, with the directory that it is typed in as far
// as the page tells.
type command struct {
	page string
	line int
	words
	dir    string // from the root, if a cd before it says so
	inline bool   // a part of a sentence, which says the rest
}

type words []string

// commands returns what a page has for somebody to type.
func (p page) commands() (all []command) {
	for _, f := range p.fragments {
		if k := kinds[f.language()]; !k.command {
			continue
		}
		text := strings.ReplaceAll(f.text, "\\\n", "  ")
		prompt := regexp.MustCompile(`(?m)^\$ `).MatchString(text) // then all else is output
		n, dir := f.line, ""
		for s := range strings.Lines(text) {
			typed, ok := strings.CutPrefix(s, "$ ")
			if ok || !prompt {
				for _, w := range split(typed) {
					if w[0] == "cd" && len(w) == 2 {
						dir = path.Join(dir, w[1])
					}
					all = append(all, command{page: p.name, line: n, words: w, dir: dir})
				}
				if strings.HasPrefix(typed, "(") {
					dir = ""
				}
			}
			n++
		}
	}
	for _, s := range p.spans {
		dir := ""
		for _, w := range split(s.text) {
			if w[0] == "cd" && len(w) == 2 {
				dir = path.Join(dir, w[1])
			}
			all = append(all, command{page: p.name, line: s.line, words: w, dir: dir, inline: true})
		}
	}
	return all
}

var (
	quoting    = regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s'"|;&<>()]+|&&|\|\|?|;|[<>]+|\S`)
	assignment = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*=`)
	separators = []string{"&&", "||", "|", ";", "(", ")", "&"}
)

// split cuts a line into simple commands, without variables and comments in front of and
// behind them.
func split(s string) (all []words) {
	var w words
	end := func() {
		for len(w) > 0 && (assignment.MatchString(w[0]) || w[0] == "sudo") {
			if w[0] == "sudo" && len(w) > 2 && w[1] == "-u" {
				w = w[2:]
			}
			w = w[1:]
		}
		if len(w) > 0 {
			all = append(all, w)
		}
		w = nil
	}
	glued := false // to the word before
	for _, at := range quoting.FindAllStringIndex(s, -1) {
		word := s[at[0]:at[1]]
		if word == "#" || strings.HasPrefix(word, "#") && !glued {
			break
		}
		if slices.Contains(separators, word) {
			end()
			glued = false
			continue
		}
		if q := word[0]; len(word) > 1 && (q == '\'' || q == '"') {
			word = word[1 : len(word)-1]
		}
		if glued && len(w) > 0 {
			w[len(w)-1] += word
		} else {
			w = append(w, word)
		}
		glued = at[1] < len(s) && !strings.ContainsRune(" \t\n", rune(s[at[1]]))
	}
	end()
	return all
}

// checkCommand says what of a command does not exist. What it does not know it passes
// over, and returns false.
func (c *checker) checkCommand(cmd command) (known bool, err error) {
	w := cmd.words
	switch {
	case cmd.dir != "" && !c.files.has(strings.Split(cmd.dir, "/")[0]):
		return false, nil // in a directory of the reader's own
	case w[0] == "cd":
		known = true
		if !c.files.has(cmd.dir) {
			err = fmt.Errorf("there is no directory %s", cmd.dir)
		}
	case w[0] == "go" && len(w) > 1:
		known, err = c.checkGo(cmd)
	case w[0] == "curl":
		known, err = true, c.checkCurl(w)
	case w[0] == "beacon-spool":
		known, err = true, c.checkProgram("spool/cmd/beacon-spool", w[1:])
	case w[0] == "node" && len(w) > 1:
		known = true
		for _, file := range w[1:] {
			if strings.HasSuffix(file, ".mjs") && len(c.match(file)) == 0 {
				err = fmt.Errorf("there is no %s", file)
			}
		}
	case strings.HasPrefix(w[0], ".ci/") || strings.HasPrefix(w[0], "./.ci/"):
		known = true
		if !c.files.has(w[0]) {
			err = fmt.Errorf("there is no %s", w[0])
		}
	}
	if err != nil {
		err = fmt.Errorf("%s:%d: %s: %w", cmd.page, cmd.line, strings.Join(w, " "), err)
	}
	return known, err
}

func (c *checker) match(pattern string) (names []string) {
	for name := range c.files {
		if ok, err := path.Match(pattern, name); ok && err == nil {
			names = append(names, name)
		}
	}
	return names
}

const modulePath = "github.com/pagebeacon/beacon"

// goFlags are those of the go command that have a value behind them.
var goFlags = []string{"-run", "-bench", "-fuzz", "-list", "-skip", "-timeout", "-count", "-cpu", "-fuzztime", "-benchtime", "-parallel", "-modfile", "-tags", "-o", "-args", "-shuffle", "-C"}

// checkGo checks the packages, the tests and the flags of a program.
func (c *checker) checkGo(cmd command) (known bool, err error) {
	verb, args := cmd.words[1], cmd.words[2:]
	if !slices.Contains([]string{"run", "test", "install", "get", "doc", "vet", "build", "generate"}, verb) {
		return false, nil
	}
	dir := cmd.dir
	if dir == "" && !cmd.inline {
		dir = "."
	}
	var packages []string
	tests := map[string]string{}
	for i := 0; i < len(args); i++ {
		flag, value, ok := strings.Cut(args[i], "=")
		switch {
		case !strings.HasPrefix(flag, "-"):
			packages = append(packages, args[i])
			if verb == "run" || verb == "doc" {
				program, rest := args[i], args[i+1:]
				if err := c.checkPackage(dir, program); err != nil {
					return true, err
				}
				if name, ok := c.resolve(dir, program); ok && verb == "run" {
					return true, c.checkProgram(name, rest)
				}
				return true, nil
			}
			continue
		case !ok && slices.Contains(goFlags, flag) && i+1 < len(args):
			i++
			value = args[i]
		}
		switch flag {
		case "-C":
			dir = path.Join(dir, value)
			if !c.files.has(dir) {
				return true, fmt.Errorf("there is no directory %s", dir)
			}
		case "-run", "-bench", "-fuzz", "-list", "-skip":
			tests[flag] = value
		case "-args":
			i = len(args)
		}
	}
	for _, p := range packages {
		if err := c.checkPackage(dir, p); err != nil {
			return true, err
		}
	}
	for flag, pattern := range tests {
		if err := c.checkTests(dir, packages, flag, pattern); err != nil {
			return true, err
		}
	}
	return true, nil
}

// resolve returns the directory of a package, if it is one of the repository.
func (c *checker) resolve(dir, p string) (string, bool) {
	p, _, _ = strings.Cut(p, "@")
	if rest, ok := strings.CutPrefix(p+"/", modulePath+"/"); ok {
		return path.Clean(rest), true
	}
	if strings.HasPrefix(p, ".") {
		return path.Join(dir, p), true
	}
	return "", false
}

func (c *checker) checkPackage(dir, p string) error {
	name, ok := c.resolve(dir, p)
	if !ok {
		return nil
	}
	if path.Base(name) == "..." {
		name = path.Dir(name)
	}
	for f := range c.files {
		if strings.HasSuffix(f, ".go") && (path.Dir(f) == name || strings.HasSuffix(p, "...") && (name == "." || strings.HasPrefix(f, name+"/"))) {
			return nil
		}
	}
	return fmt.Errorf("there is no package in %s", name)
}

// checkTests looks for a test of the name. Where the page does not say in which package,
// it may be in any.
func (c *checker) checkTests(dir string, packages []string, flag, pattern string) error {
	pattern, _, _ = strings.Cut(pattern, "/")
	if pattern == "^$" || pattern == "NONE" {
		return nil
	}
	of, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	kind := map[string]string{"-run": "Test|Example|Fuzz", "-skip": "Test|Example", "-bench": "Benchmark", "-fuzz": "Fuzz", "-list": "Test|Fuzz|Benchmark"}[flag]
	functions := regexp.MustCompile(`(?m)^func ((?:` + kind + `)\w*)\(`)
	for f, text := range c.files {
		if !strings.HasSuffix(f, "_test.go") {
			continue
		}
		in := len(packages) == 0 || dir == ""
		for _, p := range packages {
			name, ok := c.resolve(dir, p)
			in = in || ok && (path.Dir(f) == name || strings.HasSuffix(p, "..."))
		}
		for _, m := range functions.FindAllStringSubmatch(text, -1) {
			if in && of.MatchString(m[1]) {
				return nil
			}
		}
	}
	return fmt.Errorf("no test for %s %s", flag, pattern)
}

var flagCall = regexp.MustCompile(`\.(?:Bool|Int|Int64|Uint|String|Float64|Duration|Func|BoolFunc|Text)(?:Var)?\((?:&?[\w.*]+, )?"([\w-]+)"`)

// checkProgram looks for the flags of a program, and for its first word, if it has some.
func (c *checker) checkProgram(dir string, args words) error {
	flags, words := map[string]bool{"h": true}, ""
	for f, text := range c.files {
		if path.Dir(f) == dir && strings.HasSuffix(f, ".go") && !isTest(f) {
			for _, m := range flagCall.FindAllStringSubmatch(text, -1) {
				flags[m[1]] = true
			}
			words += text
		}
	}
	for i, a := range args {
		name, _, _ := strings.Cut(strings.TrimLeft(a, "-"), "=")
		switch {
		case strings.HasPrefix(a, "-") && len(a) > 1 && !flags[name]:
			return fmt.Errorf("%s has no flag -%s", dir, name)
		case i == 0 && regexp.MustCompile(`^[a-z]+$`).MatchString(a) && !strings.Contains(words, `"`+a+`"`):
			return fmt.Errorf("%s has no %q", dir, a)
		}
	}
	return nil
}

// checkCurl looks at the address: its path is one that some source has.
func (c *checker) checkCurl(w words) error {
	for _, a := range w {
		if !strings.HasPrefix(a, "http://") && !strings.HasPrefix(a, "https://") {
			continue
		}
		u, err := url.Parse(a)
		if err != nil {
			return err
		}
		if u.Scheme == "http" && u.Hostname() != "127.0.0.1" && u.Hostname() != "localhost" && !strings.HasSuffix(u.Hostname(), ".example") {
			return fmt.Errorf("%s: not https", a)
		}
		if u.Path == "" || u.Path == "/" {
			continue
		}
		found := false
		for f, text := range c.files {
			found = found || strings.HasSuffix(f, ".go") && strings.Contains(text, u.Path) || u.Path == "/debug/vars"
		}
		if !found {
			return fmt.Errorf("no source has %s", u.Path)
		}
	}
	return nil
}

// variable is how programs and tests of the repository name what they read.
var variable = regexp.MustCompile(`\b(?:BEACON|SPOOL)_[A-Z0-9_]+\b`)

// checkVariables looks for the variables of a page in the sources.
func (c *checker) checkVariables(name string) (errs []error) {
	n := 0
	for text := range strings.Lines(c.files[name]) {
		n++
		for _, v := range variable.FindAllString(text, -1) {
			found := false
			for f, source := range c.files {
				found = found || !strings.HasSuffix(f, ".md") && path.Dir(f) != "internal/docs" &&
					(strings.Contains(source, `"`+v+`"`) || strings.Contains(source, "$"+v) || strings.Contains(source, "."+v))
			}
			if !found {
				errs = append(errs, fmt.Errorf("%s:%d: nothing reads %s", name, n, v))
			}
		}
	}
	return errs
}
