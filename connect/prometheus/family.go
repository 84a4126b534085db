package beaconprom

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pagebeacon/beacon"
)

// A family is one metric, and how it follows from the statistics S.
type family[S any] struct {
	name, help string
	label      string // one that tells its series apart, besides the source's name; or ""
	read       func(s *S, put put)
}

// A sample is what makes a metric, given how that is called.
type sample func(*prometheus.Desc, ...string) (prometheus.Metric, error)

// A put gives away one series: the value of the family's label, if it has one, and a sample.
type put func(label string, s sample)

// constant is a sample of one value.
func constant(t prometheus.ValueType, v float64) sample {
	return func(d *prometheus.Desc, labels ...string) (prometheus.Metric, error) {
		return prometheus.NewConstMetric(d, t, v, labels...)
	}
}

// counter is a metric that only grows.
func counter[S any](name, help string, value func(*S) uint64) family[S] {
	return family[S]{name, help, "", func(s *S, put put) {
		put("", constant(prometheus.CounterValue, float64(value(s))))
	}}
}

// counters are some that are told apart by a label, of which each value is a word in the
// program.
func counters[S any](name, help, label string, values func(*S) map[string]uint64) family[S] {
	return family[S]{name, help, label, func(s *S, put put) {
		m := values(s)
		for _, word := range slices.Sorted(maps.Keys(m)) {
			put(word, constant(prometheus.CounterValue, float64(m[word])))
		}
	}}
}

// gauge is a metric of how something is now.
func gauge[S any, N int | int64 | float64](name, help string, value func(*S) N) family[S] {
	return known(name, help, func(s *S) (N, bool) { return value(s), true })
}

// known is a gauge that is there only while there is something to say.
func known[S any, N int | int64 | float64](name, help string, value func(*S) (N, bool)) family[S] {
	return family[S]{name, help, "", func(s *S, put put) {
		if v, ok := value(s); ok {
			put("", constant(prometheus.GaugeValue, float64(v)))
		}
	}}
}

// since is a gauge of how long something has been the case: 0 while it is not.
func since[S any](name, help string, value func(*S) time.Time) family[S] {
	return gauge(name, help, func(s *S) float64 {
		if t := value(s); !t.IsZero() {
			return max(0, time.Since(t).Seconds())
		}
		return 0
	})
}

// timestamp is a gauge of when something was last the case, and not there before it was.
func timestamp[S any](name, help string, value func(*S) time.Time) family[S] {
	return known(name, help, func(s *S) (float64, bool) {
		t := value(s)
		return float64(t.UnixMicro()) / 1e6, !t.IsZero()
	})
}

// histogram is one of the library's. Prometheus counts in each bucket what is in those
// below it, too.
func histogram[S any](name, help string, value func(*S) beacon.Histogram) family[S] {
	return family[S]{name, help, "", func(s *S, put put) {
		h := value(s)
		if len(h.Counts) != len(h.Bounds)+1 {
			return // statistics that nobody counts for
		}
		buckets, n := make(map[float64]uint64, len(h.Bounds)), uint64(0)
		for i, bound := range h.Bounds {
			n += h.Counts[i]
			buckets[bound] = n
		}
		n += h.Counts[len(h.Bounds)]
		put("", func(d *prometheus.Desc, labels ...string) (prometheus.Metric, error) {
			return prometheus.NewConstHistogram(d, n, h.Sum, buckets, labels...)
		})
	}}
}

// seconds and truth are units of Prometheus.
func seconds(d time.Duration) float64 { return d.Seconds() }

func truth(is bool) int {
	if is {
		return 1
	}
	return 0
}

// A group is what is collected of one kind of thing.
type group interface {
	describe(chan<- *prometheus.Desc)
	collect(chan<- prometheus.Metric)
}

// A source is something with statistics.
type source[S any] interface{ Stats() S }

// A kind is all sources with the same statistics.
type kind[S any] struct {
	families []family[S]
	descs    []*prometheus.Desc
	names    []string // of the sources, sorted: so scrapes are in one order
	sources  []source[S]
}

// add makes a group of the sources of a kind, if there are any.
func add[S any, T source[S]](c *collector, what string, sources map[string]T, families []family[S]) error {
	if len(sources) == 0 {
		return nil
	}
	k := &kind[S]{families: families}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		s := sources[name]
		if v := reflect.ValueOf(s); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
			return fmt.Errorf("beaconprom: %s %q is nil", what, name)
		}
		if !utf8.ValidString(name) {
			return fmt.Errorf("beaconprom: the name of %s %q is not UTF-8", what, name)
		}
		k.names, k.sources = append(k.names, name), append(k.sources, s)
	}
	for _, f := range families {
		labels := []string{"name"}
		if f.label != "" {
			labels = append(labels, f.label)
		}
		k.descs = append(k.descs, prometheus.NewDesc(f.name, f.help, labels, nil))
	}
	*c = append(*c, k)
	return nil
}

func (k *kind[S]) describe(ch chan<- *prometheus.Desc) {
	for _, d := range k.descs {
		ch <- d
	}
}

func (k *kind[S]) collect(ch chan<- prometheus.Metric) {
	for i, s := range k.sources {
		stats := s.Stats() // once, so that its numbers are of one moment
		for j, f := range k.families {
			f.read(&stats, func(label string, of sample) {
				labels := []string{k.names[i]}
				if f.label != "" {
					labels = append(labels, label)
				}
				m, err := of(k.descs[j], labels...)
				if err != nil {
					m = prometheus.NewInvalidMetric(k.descs[j], err)
				}
				ch <- m
			})
		}
	}
}
