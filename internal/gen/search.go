package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"
)

// A search looks for names of one template that compress better, by changing some at
// random and keeping what is not worse.
type search struct {
	t      *template
	rand   *rand.Rand
	names  []string
	pool   []string // to choose from: the shorter, the more often
	buffer []byte
	deflater
}

func newSearch(t *template, known map[string]string) *search {
	s := &search{t: t, rand: rand.New(rand.NewPCG(1, 2)), names: t.choose(known)}
	for i, c := range candidates {
		switch {
		case len(c) == 1:
			s.pool = append(s.pool, c, c, c, c)
		case i < 2*len(t.names):
			s.pool = append(s.pool, c)
		}
	}
	return s
}

// change gives one name, at random, another, and everything that meets it and has that
// already takes the old one, and so on. It returns what it changed, nothing if that cannot
// be done.
func (s *search) change() (old map[int]string) {
	var a, b string
	first := s.rand.IntN(len(s.names))
	a, b = s.names[first], s.pool[s.rand.IntN(len(s.pool))]
	if s.rand.IntN(2) == 0 { // or that of another, near by
		b = s.names[(first+1+s.rand.IntN(8))%len(s.names)]
	}
	if a == b {
		return nil
	}
	old = map[int]string{first: a}
	for queue := []int{first}; len(queue) > 0; queue = queue[1:] {
		i := queue[0]
		other := a
		if s.names[i] == a {
			other = b
		}
		if s.t.names[i].taken[other] {
			return nil
		}
		for _, j := range s.t.names[i].meets {
			if _, ok := old[j]; !ok && s.names[j] == other {
				old[j] = other
				queue = append(queue, j)
			}
		}
	}
	if s.rand.IntN(4) == 0 { // all that have one of the two, of the same kind
		for i, n := range s.names {
			if _, ok := old[i]; ok || n != a && n != b || s.t.names[i].property != s.t.names[first].property {
				continue
			}
			other := a
			if n == a {
				other = b
			}
			if s.t.names[i].taken[other] {
				return nil
			}
			old[i] = n
		}
	}
	for i, n := range old {
		s.names[i] = a
		if n == a {
			s.names[i] = b
		}
	}
	return old
}

func (s *search) undo(old map[int]string) {
	for i, n := range old {
		s.names[i] = n
	}
}

// bits returns what the script takes with gzip, but for its header.
func (s *search) bits() int {
	s.buffer = s.t.renderTo(s.buffer[:0], s.names)
	return s.size(s.buffer)
}

// brotli returns what it takes with Brotli.
func (s *search) brotli() int {
	b, err := compressors[".br"](s.t.render(s.names))
	if err != nil {
		panic(err) // it cannot fail to write into memory
	}
	return 8 * len(b)
}

// both is what is to be small at last. Brotli counts double: it is what nearly all
// browsers ask for, and the files that are large are nearer to their limit with it.
func both(bits, brotli int) int { return bits + 2*brotli }

// cool looks for the smallest with gzip alone, which is quick to tell. A little worse is
// kept at first, and less of it as time goes by: as with metal that cools, the way to the
// best leads over what is not so good.
func (s *search) cool(long time.Duration) {
	bits := s.bits()
	best, least := slices.Clone(s.names), bits
	begin := time.Now()
	for {
		left := 1 - float64(time.Since(begin))/float64(long)
		if left <= 0 {
			break
		}
		old := s.change()
		if old == nil {
			continue
		}
		n := s.bits()
		if float64(n) > float64(bits)+12*left*left*s.rand.ExpFloat64() {
			s.undo(old)
			continue
		}
		if bits = n; bits < least {
			best, least = slices.Clone(s.names), bits
		}
	}
	s.names = best
}

// climb looks for what is smaller with both, from where it is. Brotli takes long, and is
// not asked where gzip finds it much worse.
func (s *search) climb(long time.Duration) {
	bits, brotli := s.bits(), s.brotli()
	for begin := time.Now(); time.Since(begin) < long; {
		old := s.change()
		if old == nil {
			continue
		}
		n := s.bits()
		if n > bits+24 {
			s.undo(old)
			continue
		}
		if b := s.brotli(); both(n, b) > both(bits, brotli) {
			s.undo(old)
		} else {
			bits, brotli = n, b
		}
	}
}

// run goes on from the names that are known. Only where there are none it pays to cool.
func (s *search) run(known bool, long time.Duration) {
	if !known {
		names, least := slices.Clone(s.names), both(s.bits(), s.brotli())
		if s.cool(long / 3); both(s.bits(), s.brotli()) > least {
			s.names = names
		}
		long -= long / 3
	}
	s.climb(long)
}

// A job is an output to search names for.
type job struct {
	output
	*search
	original []byte
	known    bool
}

// jobs returns those of the client in dir, and what they come to in bits.
func jobs(dir string) (list []job, total int, err error) {
	known, err := foundNames()
	if err != nil {
		return nil, 0, err
	}
	for _, o := range outputs() {
		if o.inline {
			continue
		}
		t, original, err := open(dir, o)
		if err != nil {
			return nil, 0, err
		}
		s := newSearch(t, known[o.name])
		total += s.bits()
		list = append(list, job{o, s, original, known[o.name] != nil})
	}
	return list, total, nil
}

// searchAll searches for names for all outputs, two at a time, and writes them to path.
// Each gets as much of the time as it has of the bits.
func searchAll(dir, path string, long time.Duration) error {
	list, total, err := jobs(dir)
	if err != nil {
		return err
	}
	var wait sync.WaitGroup
	turn := make(chan bool, 2)
	names, failed := make([]map[string]string, len(list)), make([]error, len(list))
	for i, j := range list {
		wait.Go(func() {
			turn <- true
			defer func() { <-turn }()
			bits, brotli := j.bits(), j.brotli()
			j.run(j.known, time.Duration(float64(2*long)*float64(bits)/float64(total)))
			names[i] = map[string]string{}
			for k, n := range j.t.names {
				names[i][n.key] = j.names[k]
			}
			if err := j.t.check(j.names, j.original); err != nil {
				failed[i] = fmt.Errorf("%s: %w", j.name, err)
			}
			fmt.Printf("%-20s gzip %d -> %d, br %d -> %d\n", j.name, gzipSize(bits), gzipSize(j.bits()), brotli/8, j.brotli()/8)
		})
	}
	wait.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	found := map[string]map[string]string{}
	for i, j := range list {
		found[j.name] = names[i]
	}
	content, err := json.MarshalIndent(found, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(content, '\n'), 0o644)
}

// gzipSize returns the size of a file of gzip.
func gzipSize(bits int) int { return (bits+7)/8 + 18 }
