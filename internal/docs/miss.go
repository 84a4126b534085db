package docs

import (
	"fmt"
	"strings"
	"unicode"
)

// place is one in a file that is like a part of a fragment.
type place struct {
	name     string
	at, from int // the first lines that are alike, of the file and of the part
	lines    int // how many are the same
	weight   int // how many letters that is
}

// miss describes the place that is most like the first part that no file has.
func (c *checker) miss(k kind, endings []string, parts [][]line) string {
	missing := "no file has it"
	if len(endings) == 1 && endings[0] != "" {
		missing = fmt.Sprintf("no %s file has it", endings[0])
	}
	// Of several parts, the file that is meant has the most.
	most := 0
	var names []string
	for _, name := range c.files.names(endings...) {
		if strings.HasSuffix(name, ".md") {
			continue
		}
		switch n := k.in(c.normal(k, name), parts); {
		case n > most:
			most, names = n, []string{name}
		case n == most:
			names = append(names, name)
		}
	}
	if most > 0 {
		missing += fmt.Sprintf(" with all parts in this order (%s lacks the one from %q)", names[0], parts[most][0].text)
	}
	part := parts[most]
	best := c.nearest(k, names, part)
	if best.name == "" {
		return missing + ", or anything like it"
	}
	file := c.normal(k, best.name)
	// What differs is behind the lines that are the same, or else before them.
	i, at := best.from+best.lines, best.at+best.lines
	if i == len(part) {
		i, at = best.from-1, best.at-1
	}
	if i < 0 {
		return missing // the part is there, but in front of the one before it
	}
	has := "(nothing)"
	if at >= 0 && at < len(file) {
		has = file[at].text
	}
	return fmt.Sprintf("%s; nearest is %s:%d, where %d of %d lines are the same\n\tpage: %s\n\tfile: %s",
		missing, best.name, file[best.at].number, best.lines, len(part), part[i].text, has)
}

// nearest finds the lines that are the same, or else the one that is most like one of the part.
func (c *checker) nearest(k kind, names []string, part []line) (best place) {
	for _, name := range names {
		file := c.normal(k, name)
		for at := range file {
			for from := range part {
				p := place{name: name, at: at, from: from, lines: k.run(part, from, file, at)}
				for _, l := range part[from : from+p.lines] {
					p.weight += letters(l.text)
				}
				if p.lines == 0 {
					p.weight = alike(part[from].text, file[at].text)
				}
				if p.weight >= 6 && p.weight > best.weight {
					best = p
				}
			}
		}
	}
	return best
}

// alike is how many letters two texts have in common at their beginnings and ends, if
// that is most of the first.
func alike(a, b string) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	j := 0
	for j < len(a)-i && j < len(b)-i && a[len(a)-1-j] == b[len(b)-1-j] {
		j++
	}
	if 2*(i+j) < len(a) {
		return 0
	}
	return letters(a[:i]) + letters(a[len(a)-j:])
}

func letters(s string) (n int) {
	for _, r := range s {
		if unicode.IsLetter(r) {
			n++
		}
	}
	return n
}
