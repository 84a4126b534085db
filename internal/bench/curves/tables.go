package curves

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/pagebeacon/beacon/internal/bench/curves/chart"
)

// tables writes the results as Markdown.
func (r Results) tables(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Requests a second, and as a share of net/http alone (the best of %d rounds):\n\n", len(r.Connections[0].Points[0].Rounds))
	rates(&b, "connections", r.Connections, func(p, alone []Round) string {
		best, _ := rate.best(p)
		return chart.Number(math.Round(best)) + share(p, alone, rate)
	})
	fmt.Fprintf(&b, "\nAnswers after milliseconds, p50 / p99:\n\n")
	rates(&b, "connections", r.Connections, func(p, _ []Round) string {
		half, _ := p50.best(p)
		most, _ := p99.best(p)
		return short(half) + " / " + short(most)
	})
	fmt.Fprintf(&b, "\nMicroseconds of CPU for a request, and net/http alone as a share of it, with %d connections:\n\n", r.CPUConns)
	rates(&b, "cores", r.CPU, func(p, alone []Round) string {
		best, _ := cpu.best(p)
		return short(best) + share(p, alone, cpu)
	})
	fmt.Fprintf(&b, "\n%s\n", r.others())
	for _, m := range []struct {
		what   string
		curves []Memory
	}{{"open connections", r.Idle}, {"slow bodies of 64 KiB", r.Bodies}, {"events for a sink that waits", r.Events}} {
		for _, c := range m.curves {
			fmt.Fprintf(&b, "\nMB by %s, %s:\n\n| %[1]s | requests there | taken | refused | resident, at most | heap, live | bound |\n|--:|--:|--:|--:|--:|--:|--:|\n", m.what, c.Server)
			for _, p := range c.Points {
				fmt.Fprintf(&b, "| %s | %s | %s | %s | %d | %d | %d |\n", count(p.N), count(p.There), count(p.Taken), count(p.Refused), p.Peak/mega, p.Heap/mega, p.Bound/mega)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// rates writes a table with a column for each server.
func rates(b *strings.Builder, n string, rates []Rate, cell func(p, alone []Round) string) {
	fmt.Fprintf(b, "| %s |", n)
	for _, r := range rates {
		fmt.Fprintf(b, " %s |", r.Server)
	}
	b.WriteString("\n|" + strings.Repeat("--:|", len(rates)+1) + "\n")
	for i, p := range rates[0].Points {
		fmt.Fprintf(b, "| %s |", count(p.N))
		for _, r := range rates {
			fmt.Fprintf(b, " %s |", cell(r.Points[i].Rounds, p.Rounds))
		}
		b.WriteString("\n")
	}
}

// share is how good rounds are beside those of net/http alone, in brackets; nothing for
// these themselves.
func share(p, alone []Round, q quantity) string {
	if &p[0] == &alone[0] {
		return ""
	}
	best, _ := q.best(p)
	theirs, _ := q.best(alone)
	if !q.most {
		best, theirs = theirs, best
	}
	return fmt.Sprintf(" (%.2f)", best/theirs)
}

// short writes three digits, or all before the point.
func short(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func count(n int) string { return chart.Number(float64(n)) }
