package spool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

// readDir returns the contents of the files of a directory.
func readDir(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if e.Name() == lockName {
			continue
		}
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// A place is where something is in the files.
type place struct {
	name     string
	from, to int64
}

func (p place) has(name string, off int64) bool { return name == p.name && p.from <= off && off < p.to }

// A directory is what a spool left, and where its records are.
type directory struct {
	files   map[string][]byte
	sent    map[string]string // JSON forms by ID
	records map[string]place  // of events to be delivered, by ID
	letters map[string]place  // of dead letters, by ID
	settled position
}

// inspect finds the records in files that are in order.
func inspect(t *testing.T, files map[string][]byte, sent map[string]string) directory {
	t.Helper()
	d := directory{files: files, sent: sent, records: map[string]place{}, letters: map[string]place{}}
	c, damaged, _ := readCursor(bytes.NewReader(files[cursorName]))
	if damaged {
		t.Fatal("the cursor is damaged")
	}
	d.settled = c.at
	for name, data := range files {
		seq, suffix, ok := parseName(name)
		if !ok || suffix == badSuffix {
			continue
		}
		scan := newScanner(bytes.NewReader(data), seq, 0, int64(len(data)))
		for {
			payload, g, err := scan.next()
			if err == io.EOF {
				break
			}
			if err != nil || g != nil {
				t.Fatal(err, g)
			}
			p := place{name, scan.off - int64(frameSize+len(payload)), scan.off}
			var e struct {
				ID    string
				Event struct{ ID string }
			}
			if err := json.Unmarshal(payload, &e); err != nil {
				t.Fatal(err)
			}
			if suffix == deadSuffix {
				d.letters[e.Event.ID] = p
			} else if !(position{seq, p.from}).before(d.settled) {
				d.records[e.ID] = p
			}
		}
	}
	return d
}

// makeDirectory runs a spool in a real directory. It is left as after a crash,
// with space allocated, unless it is ended.
func makeDirectory(t *testing.T, seed uint64, end bool, events func(session string, n int, rng *rand.Rand) beacon.Event) directory {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	w := &weather{rng: rng, refuse: func(id string) error {
		switch _, n := split(id); {
		case n%5 == 3 && n < 20:
			return beacon.ErrPermanent
		case n >= 20:
			return errAway
		}
		return nil
	}}
	s, err := Open(dir, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error { return w.say(events) }),
		Options{SegmentBytes: 8192, BatchEvents: 1, Timeout: time.Second, DiskTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	sent := map[string]string{}
	for n := range 60 {
		e := events("s", n, rng)
		sent[e.ID] = form(e)
		if err := s.Consume(t.Context(), []beacon.Event{e}); err != nil {
			t.Fatal(err)
		}
		if n == 19 {
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if !end {
		files := readDir(t, dir)
		if err := s.Close(ctx); err != nil {
			t.Fatal(err)
		}
		return inspect(t, files, sent)
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	return inspect(t, readDir(t, dir), sent)
}

// drain opens a spool and has it deliver what is there.
func drain(fs fsys) (came []beacon.Event, st Stats, err error) {
	o, err := Options{SegmentBytes: 8192, MaxBytes: 1 << 30}.withDefaults()
	if err != nil {
		return nil, st, err
	}
	var mu sync.Mutex
	s, err := start(fs, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		mu.Lock()
		defer mu.Unlock()
		came = append(came, events...)
		return nil
	}), o)
	if err != nil {
		return nil, st, err
	}
	defer s.Close(ctxEnded()) // if it was not closed below
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.Flush(ctx); err != nil {
		return nil, s.Stats(), err
	}
	st = s.Stats()
	if err := s.Close(ctx); err != nil {
		return nil, st, err
	}
	return came, st, nil
}

// check drains what damage left and compares. Those events that lost names may be
// missing.
func (d directory) check(fs *memFS, lost func(id string, p place) bool) (Stats, error) {
	came, st, err := drain(fs)
	if err != nil {
		return st, err
	}
	seen := map[string]bool{}
	for _, e := range came {
		if want, got := d.sent[e.ID], form(e); got != want {
			return st, fmt.Errorf("delivered %s, stored %s", got, want)
		}
		seen[e.ID] = true
	}
	for id, p := range d.records {
		if !seen[id] && !lost(id, p) {
			return st, fmt.Errorf("missing: %s, which is %v", id, p)
		}
	}
	return st, nil
}

// kept says whether a damaged byte is in a .bad file.
func kept(fs *memFS, seq uint64, off int64, is byte) bool {
	for name, data := range fs.files() {
		n, suffix, ok := parseName(name)
		if !ok || suffix != badSuffix || n != seq {
			continue
		}
		var from int64
		if _, rest, found := strings.Cut(name, "-"); found {
			if _, err := fmt.Sscanf(rest, "%x"+badSuffix, &from); err != nil {
				return false
			}
		}
		if i := off - from; i >= 0 && i < int64(len(data)) && data[i] == is {
			return true
		}
	}
	return false
}

// flip flips a bit and says what is wrong with what follows.
func (d directory) flip(name string, off int64, bit int) error {
	files := maps.Clone(d.files)
	data := slices.Clone(files[name])
	data[off] ^= 1 << bit
	files[name] = data
	seq, suffix, _ := parseName(name)
	if suffix == deadSuffix { // not read at a start
		return d.flipLetter(data, seq, off)
	}
	fs := newMemFS(contents(files))
	st, err := d.check(fs, func(_ string, p place) bool { return p.has(name, off) })
	if err != nil {
		return err
	}
	switch {
	case name == cursorName && off%blockSize >= cursorSize:
		// between the slots
	case name != cursorName && (position{seq, off}).before(d.settled):
		// of no use any more
	case st.Damaged+st.Torn == 0:
		return fmt.Errorf("went unnoticed: %+v", st)
	case name != cursorName && !kept(fs, seq, off, data[off]):
		return errors.New("was not kept aside")
	}
	return nil
}

// flipLetter scans a file of dead letters with a flipped bit.
func (d directory) flipLetter(data []byte, seq uint64, off int64) error {
	fs := newMemFS(contents(map[string][]byte{segmentName(seq, deadSuffix): data}))
	dead, err := deadLetters(fs)
	if err != nil {
		return err
	}
	for id, got := range dead {
		if got != d.sent[id] {
			return fmt.Errorf("dead letter %s, was %s", got, d.sent[id])
		}
	}
	for id, p := range d.letters {
		if p.name == segmentName(seq, deadSuffix) && dead[id] == "" && !p.has(p.name, off) {
			return fmt.Errorf("missing: dead letter %s", id)
		}
	}
	scan := newScanner(bytes.NewReader(data), seq, 0, int64(len(data)))
	gaps := 0
	for {
		_, g, err := scan.next()
		if err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if g != nil && g.from <= off && off < g.to {
			gaps++
		}
	}
	if gaps != 1 {
		return fmt.Errorf("is in %d gaps", gaps)
	}
	return nil
}

// parallel runs n trials on all processors and returns the failures.
func parallel(n int, trial func(i int) error) (failures []string) {
	var next atomic.Int64
	var enough atomic.Bool
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && !enough.Load(); i = int(next.Add(1)) - 1 {
				if err := trial(i); err != nil {
					mu.Lock()
					failures = append(failures, fmt.Sprintf("trial %d: %v", i, err))
					enough.Store(len(failures) >= 8)
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
	return failures
}

func TestBitFlips(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		end    bool
		events func(string, int, *rand.Rand) beacon.Event
	}{
		{"ended", true, makeEvent},
		{"crashed", false, makeEvent},
		{"adversarial", false, adversarial},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := makeDirectory(t, 7, c.end, c.events)
			if len(d.records) < 30 || len(d.letters) != 4 {
				t.Fatal(len(d.records), "records,", len(d.letters), "dead letters")
			}
			// Every file gets its share, however small it is.
			names := slices.Sorted(maps.Keys(d.files))
			report(t, parallel(scale(700, 10000), func(i int) error {
				rng := rand.New(rand.NewPCG(uint64(i), 3))
				name := names[i%len(names)]
				size := int64(len(d.files[name]))
				off, bit := rng.Int64N(size), rng.IntN(8)
				switch {
				case name == cursorName:
					off = rng.Int64N(2)*blockSize + rng.Int64N(cursorSize)
				case rng.IntN(8) == 0:
					off = rng.Int64N(headerSize)
				case rng.IntN(3) == 0: // where the data are
					off = min(off, rng.Int64N(size), rng.Int64N(size))
				}
				if err := d.flip(name, off, bit); err != nil {
					return fmt.Errorf("%s, byte %d, bit %d: %w", name, off, bit, err)
				}
				return nil
			}))
		})
	}
}

// adversarial makes events that hold what could pass for records.
func adversarial(session string, n int, rng *rand.Rand) beacon.Event {
	payload := []byte(form(beacon.Event{ID: fmt.Sprintf("forged-%d", n)}))
	var records []byte
	for seq := range uint64(30) { // one of them is the right one
		rec := append(openFrame(nil), payload...)
		if err := closeFrame(rec, 0); err != nil {
			panic(err)
		}
		seal(rec, seq)
		records = append(records, rec...)
	}
	e := makeEvent(session, n, rng)
	switch n % 6 {
	case 0:
		e.Body = beacon.Text(records)
	case 1:
		e.Body = beacon.Binary{Data: records}
	case 2: // the payload as it is, and before it what can be of a frame
		e.Body = beacon.JSON(fmt.Sprintf(`{"        ":%s,"a":[%s]}`, payload, payload))
	case 3:
		e.Body = beacon.Form{{Name: "f", File: &beacon.File{Name: string(records), Data: records}}, {Name: string(records)}}
	case 4: // everything a JSON string leaves as it is
		e.Body = beacon.Text(strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' {
				return ' '
			}
			return r
		}, string(records)))
	default:
		e.Body = beacon.Report{Type: "x", Body: json.RawMessage(payload)}
		e.Page, e.Request.UserAgent = string(records), string(payload)
	}
	return e
}

// damage is worse than a flipped bit: what it touches may be lost, and nothing
// wrong may come.
func TestDamage(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]directory{
		"ended":       makeDirectory(t, 8, true, makeEvent),
		"crashed":     makeDirectory(t, 8, false, makeEvent),
		"adversarial": makeDirectory(t, 8, false, adversarial),
	} {
		rng := rand.New(rand.NewPCG(8, 8))
		var segments []string
		for name := range d.files {
			if strings.HasSuffix(name, dataSuffix) {
				segments = append(segments, name)
			}
		}
		slices.Sort(segments)
		touched := func(from, to int64, names ...string) func(string, place) bool {
			return func(_ string, p place) bool { return slices.Contains(names, p.name) && p.from < to && from < p.to }
		}
		type trial struct {
			what    string
			files   map[string][]byte
			lost    func(string, place) bool
			noticed bool // must be
		}
		var trials []trial
		try := func(noticed bool, what string, files map[string][]byte, lost func(string, place) bool) {
			trials = append(trials, trial{what, files, lost, noticed})
		}
		change := func(name string, change func(data []byte) []byte) map[string][]byte {
			files := maps.Clone(d.files)
			files[name] = change(slices.Clone(files[name]))
			return files
		}
		for _, seg := range segments {
			size := int64(len(d.files[seg]))
			for from := int64(0); from < size; from += blockSize {
				to := min(from+blockSize, size)
				try(false, fmt.Sprintf("zeroed block at %d of %s", from, seg),
					change(seg, func(b []byte) []byte { clear(b[from:to]); return b }), touched(from, to, seg))
				for _, other := range segments {
					if (full || rng.IntN(4*len(segments)) == 0) && other != seg && from+blockSize <= int64(len(d.files[other])) && from+blockSize <= size {
						files := maps.Clone(d.files)
						a, b := slices.Clone(files[seg]), slices.Clone(files[other])
						copy(a[from:], d.files[other][from:from+blockSize])
						copy(b[from:], d.files[seg][from:from+blockSize])
						files[seg], files[other] = a, b
						try(false, fmt.Sprintf("blocks at %d swapped between %s and %s", from, seg, other), files, touched(from, to, seg, other))
					}
				}
			}
			if size >= 2*blockSize {
				try(true, "blocks swapped within "+seg, change(seg, func(b []byte) []byte {
					return slices.Concat(b[blockSize:2*blockSize], b[:blockSize], b[2*blockSize:])
				}), touched(0, 2*blockSize, seg))
			}
			try(true, "garbage behind "+seg, change(seg, func(b []byte) []byte { return append(b, "garbage{}"...) }), touched(0, 0))

			renamed := maps.Clone(d.files)
			delete(renamed, seg)
			renamed[segmentName(99, dataSuffix)] = d.files[seg]
			try(true, "renamed "+seg, renamed, touched(0, size, seg))
		}
		// Every length of a small segment.
		small := segments[len(segments)-1]
		step := scale(7, 1)
		records := bytes.TrimRight(d.files[small], "\x00")
		for size := 0; size <= len(records); size++ {
			if size > 2*headerSize && size%step != 0 {
				continue
			}
			try(false, fmt.Sprintf("%s cut to %d", small, size), change(small, func(b []byte) []byte { return b[:size] }), touched(int64(size), 1<<40, small))
		}
		report(t, parallel(len(trials), func(i int) error {
			st, err := d.check(newMemFS(contents(trials[i].files)), trials[i].lost)
			if err == nil && trials[i].noticed && st.Damaged+st.Torn == 0 {
				err = errors.New("went unnoticed")
			}
			if err != nil {
				return fmt.Errorf("%s: %s: %w", name, trials[i].what, err)
			}
			return nil
		}))
		t.Log(name, len(trials), "trials")

		// A record of another segment must not be delivered, in the middle and at the end.
		var foreign []byte
		for id, p := range d.records {
			if p.name == segments[0] || p.name == segments[1] {
				foreign = d.files[p.name][p.from:p.to]
				without := maps.Clone(d.records)
				delete(without, id)
				files := change(p.name, func(b []byte) []byte { clear(b[p.from+frameSize : p.to]); return b })
				files[small] = slices.Concat(records, foreign)
				came, st, err := drain(newMemFS(contents(files)))
				if err != nil || st.Damaged == 0 || slices.ContainsFunc(came, func(e beacon.Event) bool { return e.ID == id }) {
					t.Errorf("%s: record of %s moved: %v, %+v", name, p.name, err, st)
				}
				break
			}
		}
	}
}

// A record that was put together from JSON needs a flipped bit to pass for one, and
// the right one. Then it must not.
func TestForgedRecordBehindAFlippedBit(t *testing.T) {
	// A key whose last bytes are a frame, but for the highest byte of the length,
	// which a flip of bit 5 makes zero. The length is what printable bytes can say.
	const length = "!! "
	n := int('!') | int('!')<<8 | int(' ')<<16
	forged := append([]byte(`{"v":1,"id":"forged","body":{"kind":"empty"},"page":"`), bytes.Repeat([]byte{'x'}, n)...)
	end := []byte(`nonce0000000000"}`)
	forged = append(forged[:n-len(end)], end...)
	nonce := forged[n-12 : n-2]
	rng := rand.New(rand.NewPCG(1, 1))
	frame := []byte{length[0], length[1], length[2], 0}
	before := crc32.Update(crc32.Update(seed(1), castagnoli, frame), castagnoli, forged[:n-12])
	var sum [4]byte
	for {
		for i := range nonce {
			nonce[i] = 'a' + byte(rng.IntN(26))
		}
		c := crc32.Update(before, castagnoli, forged[n-12:])
		sum = [4]byte{byte(c), byte(c >> 8), byte(c >> 16), byte(c >> 24)}
		letter := func(b byte) bool { return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' }
		if sum[2] == '"' && sum[3] == ':' && letter(sum[0]) && letter(sum[1]) {
			break
		}
	}
	body := fmt.Sprintf(`{"%s %s%s}`, length, sum[:], forged)
	e := beacon.Event{ID: "e-1", Body: beacon.JSON(body)}

	fs := newMemFS(nil)
	o, err := Options{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	s, err := start(fs, beacon.SinkFunc(func(context.Context, []beacon.Event) error { return errAway }), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Consume(t.Context(), []beacon.Event{e}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	files := fs.files()
	data := files[segmentName(1, dataSuffix)]
	at := bytes.Index(data, []byte(length+" "+string(sum[:])))
	if at < 0 {
		t.Fatal("the bytes are not as they were sent")
	}
	data[at+3] ^= 1 << 5
	came, st, err := drain(newMemFS(contents(files)))
	if err != nil || st.Damaged == 0 {
		t.Errorf("%v, %+v", err, st)
	}
	for _, e := range came {
		t.Errorf("delivered %q, which was never stored", e.ID)
	}
}

// A segment that is cut within its header is no more than damaged.
func TestSegmentShorterThanItsHeader(t *testing.T) {
	header := appendHeader(nil, 1)
	for size := range headerSize {
		rec := append(openFrame(nil), `{"v":1,"id":"good"}`...)
		if err := closeFrame(rec, 0); err != nil {
			t.Fatal(err)
		}
		seal(rec, 2)
		came, st, err := drain(newMemFS(contents(map[string][]byte{
			segmentName(1, dataSuffix): header[:size], segmentName(2, dataSuffix): append(appendHeader(nil, 2), rec...),
		})))
		if err != nil || len(came) != 1 {
			t.Fatalf("%d bytes: %v, %+v", size, err, st)
		}
	}
}

// The zeros behind the header of a segment are cut off, but not those of its
// checksum.
func TestHeaderThatEndsInZero(t *testing.T) {
	for seq := uint64(1); ; seq++ {
		header := appendHeader(nil, seq)
		if header[headerSize-1] != 0 {
			continue
		}
		data := append(header, make([]byte, 4096)...)
		if _, st, err := drain(newMemFS(contents(map[string][]byte{segmentName(seq, dataSuffix): data}))); err != nil || st.Damaged != 0 {
			t.Errorf("segment %d, nothing but a header: %v, %+v", seq, err, st)
		}
		return
	}
}

// What lies before the end of the log was written: zeros there are damage, as long
// as the spool remembers where it ends.
func TestZerosInTheRunningSegment(t *testing.T) {
	fs := newMemFS(nil)
	o, err := Options{MemoryBytes: 1}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	away := make(chan struct{})
	var came []string
	s, err := start(fs, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		<-away
		for _, e := range events {
			came = append(came, e.ID)
		}
		return nil
	}), o)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	first := makeEvent("a", 1, rng)
	if err := s.Consume(t.Context(), []beacon.Event{first}); err != nil {
		t.Fatal(err)
	}
	from := headerSize + frameSize + len(form(first))
	for n := range 5 {
		if err := s.Consume(t.Context(), []beacon.Event{makeEvent("a", 2+n, rng)}); err != nil {
			t.Fatal(err)
		}
	}
	fs.mu.Lock()
	clear(fs.names[segmentName(1, dataSuffix)].data[from:])
	fs.mu.Unlock()
	close(away)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	st := s.Stats()
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(came) != 6 && st.Damaged == 0 {
		t.Errorf("%v came, and no word of the others: %+v", came, st)
	}
}

// A record whose payload is not an event goes to the dead letters, whatever it is,
// and does not hold up the others. Nor does one of a later version, which stays.
func TestRecordsThatAreNotEvents(t *testing.T) {
	deep := strings.Repeat("[", 9999) + strings.Repeat("]", 9999)
	data := appendHeader(nil, 1)
	for _, payload := range []string{`{"v":2}`, `{not JSON}`, `{"v":1,"body":{"kind":"json","json":` + deep + `}}`, `{"v":1,"id":"good"}`} {
		rec := append(openFrame(nil), payload...)
		if err := closeFrame(rec, 0); err != nil {
			t.Fatal(err)
		}
		seal(rec, 1)
		data = append(data, rec...)
	}
	came, st, err := drain(newMemFS(contents(map[string][]byte{segmentName(1, dataSuffix): data})))
	if err != nil || len(came) != 1 || came[0].ID != "good" || st.Dead != 2 || st.Later != 1 {
		t.Errorf("%v, %+v, %d came", err, st, len(came))
	}
}

// Nor does an event that is taken, but nests too deep to be read back or to be part
// of a dead letter.
func TestDeepEvents(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		for depth := 9994; depth < 10003; depth++ {
			fs := newMemFS(nil)
			o, err := Options{MemoryBytes: 1}.withDefaults()
			if err != nil {
				t.Fatal(err)
			}
			var came []string
			s, err := start(fs, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
				if refuse && events[0].ID == "deep" {
					return beacon.ErrPermanent
				}
				for _, e := range events {
					came = append(came, e.ID)
				}
				return nil
			}), o)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range []beacon.Event{
				{ID: "first"},
				{ID: "deep", Body: beacon.JSON(strings.Repeat("[", depth) + strings.Repeat("]", depth))},
				{ID: "good"},
			} {
				if err := s.Consume(t.Context(), []beacon.Event{e}); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			err = s.Flush(ctx)
			cancel()
			if st := s.Stats(); err != nil || len(came)+int(st.Dead) != 3 || !slices.Contains(came, "good") {
				t.Errorf("depth %d: %v, %v, %+v", depth, err, came, st)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if t.Failed() {
				return
			}
		}
	}
}

// Files that really are on disk take the same course.
func TestFlipsOnDisk(t *testing.T) {
	t.Parallel()
	d := makeDirectory(t, 9, false, makeEvent)
	rng := rand.New(rand.NewPCG(9, 9))
	names := slices.Sorted(maps.Keys(d.files))
	for i := range scale(40, 400) {
		dir := t.TempDir()
		name := names[i%len(names)]
		off := rng.Int64N(int64(len(d.files[name])))
		for n, data := range d.files {
			if n == name {
				data = slices.Clone(data)
				data[off] ^= 1 << rng.IntN(8)
			}
			if err := os.WriteFile(filepath.Join(dir, n), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		came, _, err := drain(dirFS(dir))
		if err != nil {
			t.Fatalf("%s, byte %d: %v", name, off, err)
		}
		got, want := map[string]string{}, map[string]string{}
		for _, e := range came {
			got[e.ID] = form(e)
		}
		for id := range d.records {
			if !d.records[id].has(name, off) {
				want[id] = d.sent[id]
			} else {
				delete(got, id)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" && name != cursorName {
			t.Errorf("%s, byte %d: %s", name, off, diff)
		}
	}
}
