package e2e

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// write prints a table of rows, each beside the floor of its form.
func write(w io.Writer, conns int, rows []*row) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### End to end over loopback, %d connections\n\n", conns)
	b.WriteString("| body | server | CPU µs a request, median | minimum | floor/x, median of pairs | of minima | requests/s | p50 ms | p99 ms | allocations | peak MB |\n")
	b.WriteString("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range rows {
		ratio, least := "1", "1"
		if r.kind != floor {
			ratio, least = fmt.Sprintf("%.2f", r.ratio()), fmt.Sprintf("%.2f", r.least())
		}
		each := "–"
		if r.kind != express {
			each = fmt.Sprintf("%.0f", r.min(allocs))
		}
		fmt.Fprintf(&b, "| %s | %s | %.1f | %.1f | %s | %s | %s | %.2f | %.2f | %s | %d |\n",
			forms[r.form].Name, r, r.median(cpu), r.min(cpu), ratio, least,
			thousands(r.median(rate)), r.median(p50), r.median(p99), each, r.rss>>20)
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

// ratio is the median of what the floor cost in part of what r did beside it.
func (r *row) ratio() float64 { return r.median(func(t turn) float64 { return t.floor / cpu(t) }) }

// least is what the cheapest of these turns of the floor cost in part of the cheapest of r's.
func (r *row) least() float64 { return r.min(func(t turn) float64 { return t.floor }) / r.min(cpu) }

// quantile is that of a figure, between the two next to it.
func quantile[T any](of []T, figure func(T) float64, q float64) float64 {
	v := make([]float64, len(of))
	for i := range of {
		v[i] = figure(of[i])
	}
	slices.Sort(v)
	at := q * float64(len(v)-1)
	low := int(at)
	high := min(low+1, len(v)-1)
	return v[low] + (v[high]-v[low])*(at-float64(low))
}

func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
