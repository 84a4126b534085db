package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the pictures of testdata anew")

// example has all there is: two panels, both kinds of axes, each style, spans, texts that
// XML has to be told of.
func example() Figure {
	connections := []float64{1, 4, 16, 64}
	line := func(name string, style Style, factor, span float64) Series {
		s := Series{Name: name, Style: style}
		for i, x := range connections {
			y := factor * (2 - 1/float64(i+1))
			p := Point{X: x, Y: y}
			if span > 0 {
				p.Lo, p.Hi = y*(1-span), y*(1+span)
			}
			s.Points = append(s.Points, p)
		}
		return s
	}
	x := Axis{Label: "open connections", Log: true, Ticks: connections}
	return Figure{
		Title: "Requests & <answers>",
		Desc:  `What "is" seen: lines that rise.`,
		Note:  "The first line of a note.\nThe second.",
		Panels: []Panel{
			{X: x, Y: Axis{Label: "requests a second"}, Series: []Series{
				line("floor", Floor, 20_000, 0.1), line("beacon", First, 18_000, 0), line("beacon + tracker", FirstToo, 17_800, 0.05),
				line("spool", Second, 9_000, 0), line("spool + tracker", SecondToo, 8_900, 0),
			}},
			{Title: "p99", X: x, Y: Axis{Label: "ms", Log: true}, Series: []Series{
				line("floor", Floor, 0.9, 0.3), line("bound", Bound, 700, 0),
			}},
		},
	}
}

// TestGolden: the same figure is drawn the same, to the byte.
func TestGolden(t *testing.T) {
	var got bytes.Buffer
	if err := example().WriteSVG(&got); err != nil {
		t.Fatal(err)
	}
	const name = "testdata/example.svg"
	if *update {
		if err := os.WriteFile(name, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the picture is not that of %s: look at what go test -update makes of it", name)
	}
}

// TestSVG: it is XML with a title and a description, refers to nothing outside of it, and
// what it draws is inside of it.
func TestSVG(t *testing.T) {
	var b bytes.Buffer
	if err := example().WriteSVG(&b); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "href") + strings.Count(b.String(), "url("); n > 0 {
		t.Errorf("%d references", n)
	}
	texts := map[string]string{}
	in := ""
	for d := xml.NewDecoder(&b); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			in = token.Name.Local
		case xml.CharData:
			texts[in] += string(token)
			if s := string(token); in == "polyline" && strings.ContainsAny(s, "NI") {
				t.Errorf("not a number: %s", s)
			}
		}
	}
	f := example()
	if !strings.HasPrefix(texts["title"], f.Title) || !strings.HasPrefix(texts["desc"], f.Desc) {
		t.Errorf("title %q, desc %q", texts["title"], texts["desc"])
	}
	for _, s := range append(f.Panels[0].Series, f.Panels[1].Series...) {
		if n := strings.Count(texts["text"], s.Name); n < 2 {
			t.Errorf("%q is named %d times: in the legend, and at the line", s.Name, n)
		}
	}
}

func TestCannotBeDrawn(t *testing.T) {
	for what, f := range map[string]Figure{
		"no room":   {Panels: []Panel{{Series: []Series{{Name: "a name of more than twenty letters"}}}}},
		"logarithm": {Panels: []Panel{{Y: Axis{Log: true}, Series: []Series{{Points: []Point{{X: 1, Y: 1, Hi: 2}}}}}}},
	} {
		if err := f.WriteSVG(io.Discard); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: error %v", what, err)
		}
	}
}

func TestLinearTicks(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   []float64
	}{
		{nil, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
		{[]float64{1}, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
		{[]float64{3, 228}, []float64{0, 50, 100, 150, 200, 250}},
		{[]float64{54_001}, []float64{0, 10_000, 20_000, 30_000, 40_000, 50_000, 60_000}},
		{[]float64{0.95}, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
	} {
		top, got := linearTicks(test.values)
		if len(got) != len(test.want) || top != got[len(got)-1] {
			t.Errorf("%v: %v up to %v, want %v", test.values, got, top, test.want)
			continue
		}
		for i := range got {
			if Number(got[i]) != Number(test.want[i]) {
				t.Errorf("%v: %v, want %v", test.values, got, test.want)
			}
		}
	}
	for top := 0.001; top < 1e7; top *= 1.013 {
		got, ticks := linearTicks([]float64{top})
		if n := len(ticks); got < top || n < 5 || n > 9 || ticks[0] != 0 || ticks[n-2] > top {
			t.Errorf("to %v: %v", top, ticks)
		}
	}
}

func TestLogTicks(t *testing.T) {
	for _, test := range []struct{ values, want []float64 }{
		{[]float64{1, 10}, []float64{1, 2, 5, 10}},
		{[]float64{0.9, 11}, []float64{0.5, 1, 2, 5, 10, 20}},
		{[]float64{3}, []float64{2, 5}},
		{[]float64{5}, []float64{5, 10}},
		{[]float64{0.06, 412}, []float64{0.01, 0.1, 1, 10, 100, 1000}},
	} {
		bottom, top, got := logTicks(test.values)
		if !slices.EqualFunc(got, test.want, func(a, b float64) bool { return Number(a) == Number(b) }) || bottom != got[0] || top != got[len(got)-1] {
			t.Errorf("%v: %v from %v to %v, want %v", test.values, got, bottom, top, test.want)
		}
	}
}

func TestScale(t *testing.T) {
	linear := newScale(Axis{}, false, []float64{3, 8}, 100, 200)
	tight := newScale(Axis{}, true, []float64{3, 4096}, 0, 4096)
	log := newScale(Axis{Log: true, Ticks: []float64{1, 16, 256}}, true, []float64{4}, 300, 100)
	beyond := newScale(Axis{Ticks: []float64{0, 10}}, false, []float64{20}, 0, 100)
	if last := tight.ticks[len(tight.ticks)-1]; last != 4000 {
		t.Errorf("the last tick below 4096 is %v", last)
	}
	for _, test := range []struct{ got, want float64 }{
		{linear.at(0), 100}, {linear.at(4), 150}, {linear.at(8), 200},
		{log.at(1), 300}, {log.at(16), 200}, {log.at(256), 100}, {log.at(4), 250},
		{beyond.at(10), 50}, {tight.at(3000), 3000},
	} {
		if px(test.got) != px(test.want) {
			t.Errorf("at %v, want %v", test.got, test.want)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.25: "0.25", 999: "999", 4096: "4,096", 1234567: "1,234,567", -12.5: "−12.5", 0.1 + 0.2: "0.3", 40_000.4: "40,000",
	} {
		if got := Number(v); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
}

func TestApart(t *testing.T) {
	for _, test := range []struct{ at, want []float64 }{
		{nil, nil},
		{[]float64{10, 50, 90}, []float64{10, 50, 90}},
		{[]float64{50, 52, 54}, []float64{50, 60, 70}},
		{[]float64{95, 96, 97}, []float64{80, 90, 100}},
		{[]float64{-5, -4, 99}, []float64{0, 10, 99}},
	} {
		if got := apart(test.at, 10, 0, 100); !slices.Equal(got, test.want) {
			t.Errorf("%v: %v, want %v", test.at, got, test.want)
		}
	}
}
