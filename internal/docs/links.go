package docs

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

var ours = regexp.MustCompile(`^/pagebeacon/beacon/(?:blob|tree)/main/(.*)$`)

// reference takes a link to the documentation of a package of ours apart.
func reference(link string) (pkg, name string, ok bool) {
	link, ok = strings.CutPrefix(link, "https://pkg.go.dev/")
	pkg, name, _ = strings.Cut(link, "#")
	return pkg, name, ok && strings.HasPrefix(pkg+"/", modulePath+"/")
}

// checkLink says what is wrong with a link of a page.
func (c *checker) checkLink(p page, l span) error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%s:%d: %s: %s", p.name, l.line, l.text, fmt.Sprintf(format, args...))
	}
	u, err := url.Parse(l.text)
	switch {
	case err != nil:
		return wrong("%v", err)
	case l.text == "":
		return wrong("leads nowhere")
	case u.Scheme == "mailto":
		return nil
	case u.Host == "github.com" && ours.MatchString(u.Path):
		// From a page that is read elsewhere too, such as at npm.
		return c.checkTarget(ours.FindStringSubmatch(u.Path)[1], u.Fragment, wrong)
	case u.Scheme != "" || u.Host != "":
		if u.Scheme != "https" || !strings.Contains(u.Host, ".") || strings.Contains(u.Host, "..") || u.User != nil {
			return wrong("not an https address")
		}
		return nil
	case strings.HasPrefix(u.Path, "/"):
		return wrong("GitHub takes it from the root of its own site")
	}
	target := p.name
	if u.Path != "" {
		target = path.Join(path.Dir(p.name), u.Path)
	}
	return c.checkTarget(target, u.Fragment, wrong)
}

func (c *checker) checkTarget(target, anchor string, wrong func(string, ...any) error) error {
	if strings.HasPrefix(target, "../") || !c.files.has(target) {
		return wrong("there is no %s", target)
	}
	if anchor == "" {
		return nil
	}
	p, ok := c.pages[target]
	if !ok {
		if regexp.MustCompile(`^L\d+(-L\d+)?$`).MatchString(anchor) {
			return wrong("the number of a line does not last")
		}
		return wrong("%s has no headings", target)
	}
	if !p.anchors[anchor] {
		var anchors []string
		for a := range p.anchors {
			anchors = append(anchors, a)
		}
		slices.SortFunc(anchors, func(a, b string) int {
			return cmp.Or(alike(anchor, b)-alike(anchor, a), strings.Compare(a, b))
		})
		return wrong("%s has no such heading; nearest are %q", target, anchors[:min(3, len(anchors))])
	}
	return nil
}

// pageInText is how comments and messages of programs name a page.
var pageInText = regexp.MustCompile(`\b(?:docs/[\w-]+|[A-Z]{4,})\.md\b(?:#([\w-]+))?`)

// checkMentions looks for the pages that a file which is no page names.
func (c *checker) checkMentions(name string) (errs []error) {
	n := 0
	for text := range strings.Lines(c.files[name]) {
		n++
		for _, m := range pageInText.FindAllStringSubmatch(text, -1) {
			target, _, _ := strings.Cut(m[0], "#")
			for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
				if c.files.has(path.Join(dir, target)) { // one of its own
					target = path.Join(dir, target)
					break
				}
			}
			if err := c.checkTarget(target, m[1], func(format string, args ...any) error {
				return fmt.Errorf("%s:%d: %s: %s", name, n, m[0], fmt.Sprintf(format, args...))
			}); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errs
}

// reachable returns the pages that links lead to from one, with itself.
func (c *checker) reachable(from string) map[string]bool {
	seen := map[string]bool{from: true}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, l := range c.pages[queue[0]].links {
			u, err := url.Parse(l.text)
			if err != nil || u.Scheme != "" || u.Path == "" {
				continue
			}
			target := path.Join(path.Dir(queue[0]), u.Path)
			if _, ok := c.pages[path.Join(target, "README.md")]; ok {
				target = path.Join(target, "README.md")
			}
			if _, ok := c.pages[target]; ok && !seen[target] {
				seen[target] = true
				queue = append(queue, target)
			}
		}
	}
	return seen
}
