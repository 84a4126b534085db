package docs

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

// page is what of a Markdown file can be right or wrong.
type page struct {
	name      string
	fragments []fragment
	spans     []span // code in sentences
	links     []span // where they lead
	anchors   map[string]bool
}

// span is a piece of a page with the line on which it, or its paragraph, begins.
type span struct {
	line int
	text string
}

// fragment is a fenced block. A block that is indented is none.
type fragment struct {
	page string
	line int      // of its first line of text
	info []string // the words behind the fence: language, name of the file, databases
	text string
}

func (f fragment) language() string {
	if len(f.info) == 0 {
		return ""
	}
	return f.info[0]
}

// file is the name that the fence gives the fragment, which is for a test that reads the page.
func (f fragment) file() string {
	if len(f.info) == 2 && strings.Contains(f.info[1], ".") {
		return f.info[1]
	}
	return ""
}

func (f fragment) String() string { return fmt.Sprintf("%s:%d", f.page, f.line) }

var markdown = goldmark.New(goldmark.WithExtensions(extension.GFM))

var htmlAnchor = regexp.MustCompile(`<\w+[^>]*\b(?:id|name)="([^"]+)"`)

func parse(name, source string) page {
	p := page{name: name, anchors: map[string]bool{}}
	src := []byte(source)
	lineAt := func(offset int) int { return 1 + bytes.Count(src[:offset], []byte("\n")) }
	for _, m := range htmlAnchor.FindAllStringSubmatch(source, -1) {
		p.anchors[m[1]] = true
	}
	line := 1
	_ = ast.Walk(markdown.Parser().Parse(text.NewReader(src)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		if n.Type() == ast.TypeBlock && n.Lines().Len() > 0 {
			line = lineAt(n.Lines().At(0).Start)
		}
		switch n := n.(type) {
		case *ast.FencedCodeBlock:
			f := fragment{page: name, line: line, text: string(n.Lines().Value(src))}
			if n.Info != nil {
				f.info = strings.Fields(string(n.Info.Value(src)))
			}
			p.fragments = append(p.fragments, f)
		case *ast.Heading:
			p.addAnchor(plain(n, src))
		case *ast.Text:
			line = max(line, lineAt(n.Segment.Start))
		case *ast.CodeSpan:
			if t, ok := n.FirstChild().(*ast.Text); ok {
				line = max(line, lineAt(t.Segment.Start))
			}
			p.spans = append(p.spans, span{line, plain(n, src)})
		case *ast.Link:
			p.links = append(p.links, span{line, string(n.Destination)})
		case *ast.Image:
			p.links = append(p.links, span{line, string(n.Destination)})
		case *ast.AutoLink:
			p.links = append(p.links, span{line, string(n.URL(src))})
		}
		return ast.WalkContinue, nil
	})
	return p
}

// plain is the text of a node without its markup.
func plain(n ast.Node, src []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		switch n := n.(type) {
		case *ast.Text:
			if entering {
				b.Write(n.Segment.Value(src))
				if n.SoftLineBreak() {
					b.WriteByte(' ')
				}
			}
		case *ast.String:
			if entering {
				b.Write(n.Value)
			}
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

// addAnchor gives a heading the name that GitHub gives it.
func (p *page) addAnchor(heading string) {
	anchor := anchorOf(heading)
	for n, a := 0, anchor; ; {
		if !p.anchors[a] {
			p.anchors[a] = true
			return
		}
		n++
		a = fmt.Sprintf("%s-%d", anchor, n)
	}
}

// anchorOf is in small letters, without punctuation, and with a hyphen for each space.
func anchorOf(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r):
			return unicode.ToLower(r)
		}
		return -1
	}, strings.TrimSpace(heading))
}
