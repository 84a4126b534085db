package beaconprom

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/pagebeacon/beacon"
)

// fixed is a source whose statistics a test says.
type fixed[S any] struct{ stats S }

func (f *fixed[S]) Stats() S { return f.stats }

// A field is one number of some statistics. It can be set to something other than nothing,
// and with 0 back to that.
type field struct {
	path string
	set  func(n int)
}

// fields returns all fields of a struct, which v points to, also of those in it.
func fields(t *testing.T, path string, v reflect.Value) []field {
	var all []field
	for i := range v.NumField() {
		f, path := v.Field(i), path+"."+v.Type().Field(i).Name
		if v.Type().Field(i).Anonymous {
			all = append(all, fields(t, path, f)...)
			continue
		}
		all = append(all, field{path, func(n int) {
			if f.SetZero(); n == 0 {
				return
			}
			switch p := f.Addr().Interface().(type) {
			case *uint64:
				*p = uint64(n)
			case *int64:
				*p = int64(n)
			case *int:
				*p = n
			case *bool:
				*p = true
			case *string:
				*p = strings.Repeat("x", n)
			case *time.Duration:
				*p = time.Duration(n) * time.Second
			case *time.Time:
				*p = time.Now().Add(-time.Duration(n) * time.Second)
			case *map[string]uint64:
				*p = map[string]uint64{beacon.ReasonLimited: uint64(n), "a word of nobody's": uint64(n) + 1}
			case *beacon.Histogram:
				*p = beacon.Histogram{Bounds: []float64{0.5, 1, 2}, Counts: []uint64{1, 0, uint64(n), 2}, Sum: float64(n)}
			default:
				t.Fatalf("%s is a %T, which this test does not know", path, p)
			}
		}})
	}
	return all
}

// A trial is a kind whose statistics can be set.
type trial struct {
	group  group
	fields []field
}

func try[S any](t *testing.T, c *collector, families []family[S]) trial {
	f := new(fixed[S])
	if err := add(c, "trial", map[string]*fixed[S]{"a": f}, families); err != nil {
		t.Fatal(err)
	}
	return trial{(*c)[len(*c)-1], fields(t, fmt.Sprintf("%T", f.stats), reflect.ValueOf(&f.stats).Elem())}
}

// trials returns one of each kind, all in one collector.
func trials(t *testing.T) (*collector, []trial) {
	c := new(collector)
	return c, []trial{
		try(t, c, handlerFamilies([]string{"no-such-site"})),
		try(t, c, spoolFamilies),
		try(t, c, queueFamilies),
		try(t, c, limiterFamilies),
		try(t, c, trackerFamilies),
		try(t, c, dailyFamilies),
		try(t, c, storeFamilies),
		try(t, c, logFamilies),
		try(t, c, consumerFamilies),
	}
}

// text is what a scrape of the collector gives.
func text(t *testing.T, c prometheus.Collector) string {
	var b bytes.Buffer
	for _, f := range gather(t, c) {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// gather collects as strictly as there is.
func gather(t *testing.T, c prometheus.Collector) []*dto.MetricFamily {
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(c); err != nil {
		t.Fatal(err)
	}
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// unexported are the fields without a metric, and why.
var unexported = map[string]string{
	"beacon.Stats.Received": "it is the sum of beacon_requests_total",
	"spool.Stats.SyncP50":   "the histogram says it, for any time and all processes",
	"spool.Stats.SyncP99":   "like SyncP50",
	"spool.Stats.Stuck":     "it is text of errors; how long it lasts is exported",

	"connect.ConsumerStats.RelayStats.Stuck": "like that of the spool",
}

// Each number in the statistics is in the metrics: setting it changes them.
func TestEveryFieldIsExported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, kinds := trials(t)
		nothing := text(t, c)
		left := len(unexported)
		for _, k := range kinds {
			for _, f := range k.fields {
				f.set(3)
				now := text(t, c)
				why, without := unexported[f.path]
				if (now == nothing) != without {
					t.Errorf("%s: in the metrics: %v (%s)", f.path, now != nothing, why)
				}
				if without {
					left--
				}
				f.set(0)
			}
		}
		if left > 0 {
			t.Errorf("%d fields that are said to be without a metric do not exist", left)
		}
	})
}

// Names, units, types and helps are as Prometheus's own linter wants them.
func TestConventions(t *testing.T) {
	c, kinds := trials(t)
	for _, k := range kinds {
		for _, f := range k.fields {
			f.set(3)
		}
	}
	problems, err := promlint.NewWithMetricFamilies(gather(t, c)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p.Metric, p.Text)
	}
	for _, f := range gather(t, c) {
		if help := f.GetHelp(); !strings.HasPrefix(f.GetName(), "beacon_") || len(help) < 10 || !strings.HasSuffix(help, ".") {
			t.Errorf("%s: %q", f.GetName(), help)
		}
	}
}

var update = flag.Bool("update", false, "write testdata/scrape.txt")

// What a scrape gives is what dashboards and rules have been written for.
func TestScrape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, kinds := trials(t)
		n := 0
		for _, k := range kinds {
			for _, f := range k.fields {
				n++
				f.set(n)
			}
		}
		got := text(t, c)
		const golden = "testdata/scrape.txt"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := slices.Sorted(strings.Lines(got)), slices.Sorted(strings.Lines(string(want))); !slices.Equal(a, b) {
			for _, line := range a {
				if !slices.Contains(b, line) {
					t.Errorf("new: %s", line)
				}
			}
			for _, line := range b {
				if !slices.Contains(a, line) {
					t.Errorf("gone: %s", line)
				}
			}
		}
	})
}

// The reasons that have a label of their own are those for which errors.go has a status of
// 4xx.
func TestRefusalsAreAllThereAre(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	words, statuses := map[string]string{}, map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if lit, ok := at(n.Values, i).(*ast.BasicLit); ok && strings.HasPrefix(name.Name, "Reason") {
					words[name.Name], _ = strconv.Unquote(lit.Value)
				}
			}
		case *ast.KeyValueExpr:
			key, _ := n.Key.(*ast.Ident)
			status, _ := n.Value.(*ast.SelectorExpr)
			if key != nil && status != nil {
				statuses[key.Name] = status.Sel.Name
			}
		}
		return true
	})
	var want []string
	for name, word := range words {
		switch statuses[name] {
		case "":
			t.Errorf("%s has no status", name)
		case "StatusInternalServerError", "StatusServiceUnavailable":
		default:
			want = append(want, word)
		}
	}
	got := slices.Sorted(slices.Values(refusals))
	if slices.Sort(want); len(want) < 15 || !slices.Equal(want, got) {
		t.Errorf("errors.go has\n%v\nand here are\n%v", want, got)
	}
}

func at(all []ast.Expr, i int) ast.Expr {
	if i < len(all) {
		return all[i]
	}
	return nil
}
