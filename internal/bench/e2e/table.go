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
	var floors *row
	for _, r := range rows {
		if r.kind == floor {
			floors = r
		}
		each := "–"
		if r.kind != express {
			each = fmt.Sprintf("%.0f", r.min(allocs))
		}
		fmt.Fprintf(&b, "| %s | %s | %.1f | %.1f | %.2f | %.2f | %s | %.2f | %.2f | %s | %d |\n",
			forms[r.form].Name, r, r.median(cpu), r.min(cpu), r.ratio(floors), r.least(floors),
			thousands(r.median(rate)), r.median(p50), r.median(p99), each, r.rss>>20)
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

// ratio is the median of what the floor cost and r did in the same round.
func (r *row) ratio(floor *row) float64 {
	ratios := make([]float64, len(r.turns))
	for i, t := range r.turns {
		ratios[i] = cpu(floor.turns[i]) / cpu(t)
	}
	return quantile(ratios, func(v float64) float64 { return v }, 0.5)
}

// least is the part of what the floor cost at least in what r did.
func (r *row) least(floor *row) float64 { return floor.min(cpu) / r.min(cpu) }

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
