package curves

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/pagebeacon/beacon/internal/bench/curves/chart"
)

// styles are those of the servers in all pictures.
var styles = map[string]chart.Style{
	"net/http alone":  chart.Floor,
	"beacon":          chart.First,
	"beacon, tracker": chart.FirstToo,
	"spool":           chart.Second,
	"spool, tracker":  chart.SecondToo,
}

const mega = 1e6

func megabytes(n int64) string { return chart.Number(float64(n/mega)) + " MB" }

// figures are the pictures, by the names of their files.
func (r Results) figures() map[string]chart.Figure {
	cores := "cores"
	if r.Cores == 1 {
		cores = "core"
	}
	on := fmt.Sprintf("%d %s: %s.", r.Cores, cores, r.Machine)
	var conns, counts []float64
	for _, p := range r.Connections[0].Points {
		conns = append(conns, float64(p.N))
	}
	for _, p := range r.CPU[0].Points {
		counts = append(counts, float64(p.N))
	}
	x := chart.Axis{Label: "open connections", Log: true, Ticks: conns}
	rounds := fmt.Sprintf("Points are the best of %d short rounds, in which the servers took turns; bars reach to the median.\n%s", len(r.Connections[0].Points[0].Rounds), r.others())
	figures := map[string]chart.Figure{
		"throughput": {
			Title: "Requests a second, by open connections",
			Desc:  "Five lines over 1 to 4,096 connections: net/http alone, a handler that counts, one before a session tracker, and both with a spool on disk between.",
			Note:  "The server has one core, and the load another. Each request is a report of the browser client.\n" + on + "\n" + rounds,
			Panels: []chart.Panel{{X: x, Y: chart.Axis{Label: "requests a second"},
				Series: series(r.Connections, rate)}},
		},
		"latency": {
			Title: "How long an answer takes, by open connections",
			Desc:  "Two panels with the same five lines, the median and the slowest of a hundred, which grow with the number of connections that are all busy.",
			Note:  "All connections send as fast as they are answered, so that most of it is waiting for the others: twice as many wait twice as long.\n" + on + "\n" + rounds,
			Panels: []chart.Panel{
				{Title: "p50", X: x, Y: chart.Axis{Label: "milliseconds", Log: true},
					Series: series(r.Connections, p50)},
				{Title: "p99", X: x, Y: chart.Axis{Label: "milliseconds", Log: true},
					Series: series(r.Connections, p99)},
			},
		},
		"cores": {
			Title: "CPU time of a request, by cores",
			Desc:  "Five lines over the number of cores that the server may use.",
			Note:  fmt.Sprintf("%d connections. The load runs on the same cores.\n", r.CPUConns) + on + "\n" + rounds,
			Panels: []chart.Panel{{X: chart.Axis{Label: "cores that the server may use (GOMAXPROCS)", Ticks: counts},
				Y: chart.Axis{Label: "microseconds of the server"}, Series: series(r.CPU, cpu)}},
		},
		"memory-connections": {
			Title: "Memory, by open connections",
			Desc:  "Lines that rise with the number of idle connections, below the bound.",
			Note:  "Each connection has sent a beacon and is kept open.\n" + boundNote + "\n" + on,
			Panels: []chart.Panel{{X: chart.Axis{Label: "open connections"}, Y: chart.Axis{Label: "MB"},
				Series: append(held(r.Idle[0]), line("net/http alone", chart.Floor, r.Idle[1], func(h Held) int64 { return h.Peak }))}},
		},
		"memory-bodies": {
			Title: "Memory, by bodies that come slowly",
			Desc:  "Lines that rise until MaxInFlight is full and then only with the number of connections, below the bound.",
			Note:  "Each connection sends 48 of 64 KiB at once, and the rest at 2 KiB a second. Who finds no room is refused with 429.\n" + boundNote + "\n" + on,
			Panels: []chart.Panel{{X: chart.Axis{Label: "connections that send a body of 64 KiB"}, Y: chart.Axis{Label: "MB"},
				Series: held(r.Bodies[0])}},
		},
		"memory-events": {
			Title: "Memory, by events that wait",
			Desc:  "Two panels: a sink that does not return, and one behind a queue. Lines rise until all that may be held is, below the bound.",
			Note:  "Each request has 1,000 events in a few bytes, and the sink does not return.\n" + boundNote + "\n" + on,
			Panels: []chart.Panel{
				{Title: "The sink", X: chart.Axis{Label: "events that were sent"}, Y: chart.Axis{Label: "MB"}, Series: held(r.Events[0])},
				{Title: "The sink behind a VolatileQueue of 64 MiB", X: chart.Axis{Label: "events that were sent"}, Y: chart.Axis{Label: "MB"}, Series: held(r.Events[1])},
			},
		},
	}
	return figures
}

const boundNote = "Bound: what it takes when idle + 22 KB × connections + 2 × (MaxInFlight + queues)."

// A quantity is a value of a round.
type quantity struct {
	of   func(Round) float64
	most bool // is best, not least
}

var (
	rate = quantity{func(r Round) float64 { return r.PerSecond }, true}
	p50  = quantity{func(r Round) float64 { return r.P50.Seconds() * 1e3 }, false}
	p99  = quantity{func(r Round) float64 { return r.P99.Seconds() * 1e3 }, false}
	cpu  = quantity{func(r Round) float64 { return r.CPU.Seconds() * 1e6 }, false}
)

// best returns the best value of the rounds, which is that of the machine when nobody else
// had anything of it, and their median.
func (q quantity) best(rounds []Round) (best, median float64) {
	var vs []float64
	for _, r := range rounds {
		vs = append(vs, q.of(r))
	}
	slices.Sort(vs)
	if q.most {
		slices.Reverse(vs)
	}
	return vs[0], vs[len(vs)/2]
}

// others says how much of the machine others had, which is why rates are lower or higher
// elsewhere.
func (r Results) others() string {
	var all []float64
	for _, rate := range slices.Concat(r.Connections, r.CPU) {
		for _, p := range rate.Points {
			for _, round := range p.Rounds {
				all = append(all, round.Others)
			}
		}
	}
	slices.Sort(all)
	return fmt.Sprintf("In half of the rounds others had %.0f %% of the machine or more.", 100*all[len(all)/2])
}

// series are the lines of rates.
func series(rates []Rate, q quantity) (all []chart.Series) {
	for _, r := range rates {
		s := chart.Series{Name: r.Server, Style: styles[r.Server]}
		for _, p := range r.Points {
			best, median := q.best(p.Rounds)
			s.Points = append(s.Points, chart.Point{X: float64(p.N), Y: best, Lo: min(best, median), Hi: max(best, median)})
		}
		all = append(all, s)
	}
	return all
}

// held are the lines of a curve of memory.
func held(m Memory) []chart.Series {
	return []chart.Series{
		line("bound", chart.Bound, m, func(h Held) int64 { return h.Bound }),
		line("resident, at most", chart.First, m, func(h Held) int64 { return h.Peak }),
		line("heap, live", chart.FirstToo, m, func(h Held) int64 { return h.Heap }),
	}
}

func line(name string, style chart.Style, m Memory, value func(Held) int64) chart.Series {
	s := chart.Series{Name: name, Style: style}
	for _, p := range m.Points {
		s.Points = append(s.Points, chart.Point{X: float64(p.N), Y: float64(value(p)) / mega})
	}
	return s
}

// draw writes the pictures.
func (r Results) draw(dir string) error {
	for name, f := range r.figures() {
		var b bytes.Buffer
		if err := f.WriteSVG(&b); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "speed-"+name+".svg"), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
