// Package chart draws curves as SVG: a few lines over a common axis, that can be read on a
// light and on a dark page, with colours or without.
package chart

// A Figure is one picture: panels below each other that have the same lines.
type Figure struct {
	Title  string
	Desc   string // what there is to see, for those who do not see it
	Note   string // below the panels: where and how it was measured
	Panels []Panel
}

// A Panel is a pair of axes and the lines between them.
type Panel struct {
	Title  string // may be empty where a figure has one panel
	X, Y   Axis
	Series []Series
}

// An Axis is linear from zero, or logarithmic.
type Axis struct {
	Label  string
	Log    bool
	Ticks  []float64            // those to show; nil chooses them
	Format func(float64) string // of a tick; nil is [Number]
}

// A Series is a line.
type Series struct {
	Name   string
	Style  Style
	Points []Point
}

// A Point is a value, and between which values it was seen if that is known.
type Point struct {
	X, Y   float64
	Lo, Hi float64 // both zero if it is not known
}

// A Style says how a line looks. The same subject has the same one in all figures. Each
// has a colour and a mark of its own, since some readers do not tell the colours apart.
type Style int

// What lines are of.
const (
	Floor Style = iota // what others are compared with
	First
	FirstToo // a variant of First: its colour, dashed
	Second
	SecondToo // a variant of Second
	Bound     // what nothing may exceed: a line without marks
)
