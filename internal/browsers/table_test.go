package browsers

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// A tally counts beacons of one kind whose pages ended in one way.
type tally struct{ once, total, missing, twins int }

func (c *tally) add(s *store, kind, mark string) {
	c.total++
	text := kind + "." + mark
	if kind == "session" {
		text = "/page/" + mark
	}
	sent := s.count(text)
	if kind == "post" || kind == "own" || kind == "replaced" || kind == "item" {
		if s.count(text+"last") == 0 {
			c.missing++
			return
		}
	}
	switch {
	case sent == 0:
		c.missing++
	case sent > 1 && raw(kind):
		c.twins++
	default:
		c.once++
	}
}

// A table is a cell of the README's: one end in one browser.
type table struct {
	config config
	end    string
	kinds  []string
	tally  map[string]*tally
}

func newTable(c config, end string) *table {
	return &table{c, end, nil, map[string]*tally{}}
}

func (r *table) mark(i int) string { return fmt.Sprintf("%s.%s.%d.", r.config.name, r.end, i) }

func (r *table) add(s *store, kind, mark string) {
	if r.tally[kind] == nil {
		r.tally[kind] = &tally{}
		r.kinds = append(r.kinds, kind)
	}
	r.tally[kind].add(s, kind, mark)
}

// printed has all tables in the order of their ends, for [TestMain].
var printed []*table

func (r *table) print(when string) {
	r.end += when
	printed = append(printed, r)
	var b strings.Builder
	for _, kind := range r.kinds {
		c := r.tally[kind]
		fmt.Fprintf(&b, " %s %d/%d", kind, c.once, c.total)
		if c.twins > 0 {
			fmt.Fprintf(&b, " (%d twice)", c.twins)
		}
	}
	fmt.Printf("delivery: %-28s %-26s%s\n", r.config.name, r.end, b.String())
}

// check fails t where fewer than a share of a kind is stored, or one of a page's own
// twice. Too few of some kinds may be excepted.
func (r *table) check(t *testing.T, share float64, except func(kind string) bool) {
	t.Helper()
	for _, kind := range r.kinds {
		c := r.tally[kind]
		if c.twins > 0 {
			t.Errorf("%s, %s: %d of %d %s beacons are stored twice", r.config.name, r.end, c.twins, c.total, kind)
		}
		// One may always go wrong: it takes 50 to tell 98 % from less.
		bar := min(int(share*float64(c.total)), c.total-1)
		if stored := c.once + c.twins; stored < bar && (except == nil || !except(kind)) {
			t.Errorf("%s, %s: %d of %d %s beacons are stored, want %d", r.config.name, r.end, stored, c.total, kind, bar)
		}
	}
}

// cell is what the README has of it: the number, and what is not as it should be.
func (r *table) cell() string {
	var wrong []string
	total := 0
	for _, kind := range r.kinds {
		c := r.tally[kind]
		total = max(total, c.total)
		if c.once < c.total {
			wrong = append(wrong, fmt.Sprintf("%s %d", kind, c.once))
		}
		if c.twins > 0 {
			wrong = append(wrong, fmt.Sprintf("%d twice", c.twins))
		}
	}
	if len(wrong) == 0 {
		return fmt.Sprint(total)
	}
	return fmt.Sprintf("of %d: %s", total, strings.Join(wrong, ", "))
}

// TestMain prints the table of the README after the tests that make it.
func TestMain(m *testing.M) {
	code := m.Run()
	var ends []string
	for _, r := range printed {
		if !slices.Contains(ends, r.end) {
			ends = append(ends, r.end)
		}
	}
	for i, end := range ends {
		if i == 0 {
			fmt.Print("\n|")
			for _, c := range configs {
				fmt.Printf(" | %s", c.name)
			}
			fmt.Print(" |\n|---|--:|--:|--:|--:|\n")
		}
		fmt.Print("| ", end)
		for _, c := range configs {
			cell := ""
			for _, r := range printed {
				if r.end == end && r.config == c {
					cell = r.cell()
				}
			}
			fmt.Print(" | ", cell)
		}
		fmt.Println(" |")
	}
	os.Exit(code)
}

// load says how busy the machine is.
func load() string {
	data, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(data), " ")
	return first
}
