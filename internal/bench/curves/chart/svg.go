package chart

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"slices"
	"strings"
)

// Pixels. A figure is as wide as the column of a page; who looks at a narrower one sees it
// smaller, so no text is below 12.
const (
	width      = 800
	left       = 64  // of the plots, for what the ticks of y are called
	right      = 630 // of the plots; what follows is for the names of the lines
	plotHeight = 220
	lineHeight = 17
	margin     = 16
)

// style draws on a ground of its own: the page around may be light where its reader's
// system is dark. Each pair of a colour and its ground has a contrast of 4.5 or more.
const style = `<style>
svg{color-scheme:light dark;font:13px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.ground{fill:#fff}.ink{fill:#1f2328}.pale{fill:#59636e}
.head{font-size:17px;font-weight:600}.strong{font-weight:600}.small{font-size:12px}
.grid{stroke:#d8dee4;stroke-width:1}.axis{stroke:#59636e;stroke-width:1}
.line{fill:none;stroke-width:2;stroke-linejoin:round}.span{stroke-width:1.5;opacity:.55}.hint{stroke-width:1;opacity:.55;fill:none}
.too{stroke-dasharray:6 4}.bound{stroke-dasharray:2 4;stroke-linecap:round}
.mark{stroke-width:1.5}.hollow{fill:#fff}
.s0{stroke:#59636e}.s1{stroke:#0550ae}.s2{stroke:#b34700}.s3{stroke:#a40e26}
.f0{fill:#59636e}.f1{fill:#0550ae}.f2{fill:#b34700}.f3{fill:#a40e26}
@media (prefers-color-scheme:dark){
.ground,.hollow{fill:#0d1117}.ink{fill:#f0f6fc}.pale{fill:#9198a1}
.grid{stroke:#2a313c}.axis{stroke:#9198a1}
.s0{stroke:#9198a1}.s1{stroke:#79c0ff}.s2{stroke:#ffa657}.s3{stroke:#ff7b72}
.f0{fill:#9198a1}.f1{fill:#79c0ff}.f2{fill:#ffa657}.f3{fill:#ff7b72}
}
</style>
`

// look is how a [Style] is written.
type look struct {
	colour int    // class s and f
	line   string // more classes
	mark   string // %s is x and y and the classes; "" is none
	hollow bool
}

const (
	circle   = "circle"
	square   = "square"
	triangle = "triangle"
)

var looks = map[Style]look{
	Floor:     {0, "", circle, false},
	First:     {1, "", square, false},
	FirstToo:  {1, " too", square, true},
	Second:    {2, "", triangle, false},
	SecondToo: {2, " too", triangle, true},
	Bound:     {3, " bound", "", false},
}

// drawing is a figure that is being written.
type drawing struct{ bytes.Buffer }

func (d *drawing) f(format string, args ...any) { fmt.Fprintf(&d.Buffer, format, args...) }

func (d *drawing) text(x, y float64, class, anchor, text string) {
	if anchor != "" {
		anchor = ` text-anchor="` + anchor + `"`
	}
	d.f("<text x=\"%s\" y=\"%s\" class=\"%s\"%s>%s</text>\n", px(x), px(y), class, anchor, html.EscapeString(text))
}

func (d *drawing) rule(class string, x1, y1, x2, y2 float64) {
	d.f("<line class=\"%s\" x1=\"%s\" y1=\"%s\" x2=\"%s\" y2=\"%s\"/>\n", class, px(x1), px(y1), px(x2), px(y2))
}

func (d *drawing) mark(l look, x, y float64, title string) {
	fill := fmt.Sprintf("f%d", l.colour)
	if l.hollow {
		fill = "hollow"
	}
	class := fmt.Sprintf("mark s%d %s", l.colour, fill)
	if title != "" {
		title = "<title>" + html.EscapeString(title) + "</title>"
	}
	switch l.mark {
	case circle:
		d.f("<circle class=\"%s\" cx=\"%s\" cy=\"%s\" r=\"3.5\">%s</circle>\n", class, px(x), px(y), title)
	case square:
		d.f("<rect class=\"%s\" x=\"%s\" y=\"%s\" width=\"7\" height=\"7\">%s</rect>\n", class, px(x-3.5), px(y-3.5), title)
	case triangle:
		d.f("<path class=\"%s\" d=\"M%s %sl4.5 8h-9z\">%s</path>\n", class, px(x), px(y-5), title)
	}
}

// px writes a pixel, to a tenth.
func px(v float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
}

// check says what of the figure cannot be drawn.
func (f Figure) check() error {
	for _, p := range f.Panels {
		for _, s := range p.Series {
			if beside+textWidth(s.Name) > width-4 {
				return fmt.Errorf("the name %q has no room beside its line", s.Name)
			}
			for _, pt := range s.Points {
				low := pt.Y
				if pt.Hi != 0 {
					low = min(low, pt.Lo)
				}
				if p.X.Log && pt.X <= 0 || p.Y.Log && low <= 0 {
					return fmt.Errorf("%q has a point at %v, %v, and a logarithm has none", s.Name, pt.X, low)
				}
			}
		}
	}
	return nil
}

// WriteSVG draws the figure.
func (f Figure) WriteSVG(w io.Writer) error {
	if err := f.check(); err != nil {
		return err
	}
	var body drawing
	y := body.head(f)
	for _, p := range f.Panels {
		y = body.panel(p, y)
	}
	if f.Note != "" {
		y += 6
		for line := range strings.SplitSeq(f.Note, "\n") {
			y += lineHeight
			body.text(margin, y, "pale small", "", line)
		}
	}
	height := y + margin

	var d drawing
	d.f("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %s\" width=\"%[1]d\" height=\"%s\" role=\"img\" aria-labelledby=\"t d\">\n", width, px(height), px(height))
	d.f("<title id=\"t\">%s</title>\n<desc id=\"d\">%s</desc>\n", html.EscapeString(f.Title), html.EscapeString(f.Desc))
	d.WriteString(style)
	d.f("<rect class=\"ground\" width=\"%d\" height=\"%s\" rx=\"6\"/>\n", width, px(height))
	_, _ = body.WriteTo(&d) // which is memory
	d.WriteString("</svg>\n")
	_, err := d.WriteTo(w)
	return err
}

// head writes the title and the legend, and returns where they end.
func (d *drawing) head(f Figure) float64 {
	y := 30.0
	d.text(margin, y, "ink head", "", f.Title)
	y += 26
	const sample = 34
	x := float64(margin)
	for i, s := range f.lines() {
		wide := sample + textWidth(s.Name) + 18
		if i > 0 && x+wide > width-margin {
			x, y = margin, y+lineHeight+3
		}
		l := looks[s.Style]
		d.rule(fmt.Sprintf("line s%d%s", l.colour, l.line), x, y-4.5, x+sample-8, y-4.5)
		d.mark(l, x+(sample-8)/2, y-4.5, "")
		d.text(x+sample, y, "ink", "", s.Name)
		x += wide
	}
	return y + 10
}

// lines are those of all panels, each once.
func (f Figure) lines() (all []Series) {
	for _, p := range f.Panels {
		for _, s := range p.Series {
			if !slices.ContainsFunc(all, func(o Series) bool { return o.Name == s.Name }) {
				all = append(all, s)
			}
		}
	}
	return all
}

// textWidth is about what a text takes of the width.
func textWidth(s string) float64 { return 7 * float64(len([]rune(s))) }

// panel draws axes and lines below top, and returns where they end.
func (d *drawing) panel(p Panel, top float64) float64 {
	top += 22
	title := p.Y.Label
	if p.Title != "" {
		d.f("<text x=\"%d\" y=\"%s\" class=\"pale\"><tspan class=\"ink strong\">%s</tspan>, %s</text>\n", margin, px(top), html.EscapeString(p.Title), html.EscapeString(title))
	} else {
		d.text(margin, top, "pale", "", title)
	}
	top += 14
	bottom := top + plotHeight
	var xs, ys []float64
	for _, s := range p.Series {
		for _, pt := range s.Points {
			xs, ys = append(xs, pt.X), append(ys, pt.Y)
			if pt.Hi > 0 {
				ys = append(ys, pt.Lo, pt.Hi)
			}
		}
	}
	x, y := newScale(p.X, true, xs, left, right), newScale(p.Y, false, ys, bottom, top)
	format := func(a Axis, v float64) string {
		if a.Format != nil {
			return a.Format(v)
		}
		return Number(v)
	}
	for _, t := range y.ticks {
		d.rule("grid", left, y.at(t), right, y.at(t))
		d.text(left-8, y.at(t)+4.5, "pale", "end", format(p.Y, t))
	}
	d.rule("axis", left, bottom, right, bottom)
	for _, t := range x.ticks {
		d.rule("axis", x.at(t), bottom, x.at(t), bottom+5)
		d.text(x.at(t), bottom+20, "pale", "middle", format(p.X, t))
	}
	d.text((left+right)/2, bottom+38, "pale", "middle", p.X.Label)
	for _, s := range p.Series {
		d.series(s, x, y, func(pt Point) string {
			return s.Name + ": " + format(p.Y, pt.Y) + " at " + format(p.X, pt.X)
		})
	}
	d.names(p.Series, x, y, top, bottom)
	return bottom + 40
}

// series draws a line.
func (d *drawing) series(s Series, x, y scale, title func(Point) string) {
	l := looks[s.Style]
	d.f("<g>\n<polyline class=\"line s%d%s\" points=\"", l.colour, l.line)
	for i, p := range s.Points {
		if i > 0 {
			d.WriteByte(' ')
		}
		d.f("%s,%s", px(x.at(p.X)), px(y.at(p.Y)))
	}
	d.f("\"/>\n")
	for _, p := range s.Points {
		if p.Hi > 0 {
			d.rule(fmt.Sprintf("span s%d", l.colour), x.at(p.X), y.at(p.Lo), x.at(p.X), y.at(p.Hi))
		}
		d.mark(l, x.at(p.X), y.at(p.Y), title(p))
	}
	d.f("</g>\n")
}

// beside is where the names of lines begin.
const beside = right + 19

// names writes what each line is at its end, below each other where ends are near.
func (d *drawing) names(series []Series, x, y scale, top, bottom float64) {
	byEnd := slices.DeleteFunc(slices.Clone(series), func(s Series) bool { return len(s.Points) == 0 })
	end := func(s Series) Point { return s.Points[len(s.Points)-1] }
	slices.SortStableFunc(byEnd, func(a, b Series) int {
		return int(y.at(end(a).Y)) - int(y.at(end(b).Y))
	})
	at := make([]float64, len(byEnd))
	for i, s := range byEnd {
		at[i] = y.at(end(s).Y)
	}
	for i, moved := range apart(at, lineHeight, top, bottom) {
		s := byEnd[i]
		l := looks[s.Style]
		from := x.at(end(s).X) + 6
		d.f("<path class=\"hint s%d\" d=\"M%s %sL%s %sH%s\"/>\n", l.colour, px(from), px(at[i]), px(right+10), px(moved), px(beside-3))
		d.text(beside, moved+4.5, fmt.Sprintf("f%d", l.colour), "", s.Name)
	}
}
