package spool

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

// writeDir makes a directory of files.
func writeDir(t *testing.T, files map[string][]byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// segmentOf makes a segment of payloads.
func segmentOf(t *testing.T, seq uint64, payloads ...string) []byte {
	t.Helper()
	data := appendHeader(nil, seq)
	for _, p := range payloads {
		rec := append(openFrame(nil), p...)
		if err := closeFrame(rec, 0); err != nil {
			t.Fatal(err)
		}
		seal(rec, seq)
		data = append(data, rec...)
	}
	return data
}

func letter(id, why string) string {
	return fmt.Sprintf(`{"time":"2026-01-02T03:04:05Z","why":%q,"event":%s}`, why, form(beacon.Event{ID: id}))
}

// states reads a directory and returns what became of each record, in order; of damage,
// its bytes.
func states(t *testing.T, dir string) (all []string) {
	t.Helper()
	for r, err := range Read(dir) {
		if err != nil {
			t.Fatal(err)
		}
		name := r.Event.ID
		if r.State == StateDamaged {
			name = fmt.Sprint(r.Bytes)
		}
		all = append(all, string(r.State)+" "+name)
	}
	return all
}

func TestReplay(t *testing.T) {
	t.Parallel()
	damaged := segmentOf(t, 3, letter("e", "no such site"), letter("f", "torn"), letter("g", "no such site"))
	damaged[bytes.Index(damaged, []byte("torn"))] ^= 1
	lost := len(letter("f", "torn")) + frameSize
	files := map[string][]byte{
		cursorName:                      nil,
		segmentName(1, dataSuffix):      segmentOf(t, 1, form(beacon.Event{ID: "a"})),
		segmentName(2, deadSuffix):      append(segmentOf(t, 2, letter("b", "no such site"), letter("c", "too large"), `{"event":{"v":2}}`), make([]byte, 999)...),
		segmentName(3, deadSuffix):      damaged,
		segmentName(0x20, deadSuffix):   segmentOf(t, 0x20),
		"0000000000000004-5b.bad":       []byte("what was not a record"),
		"0000000000000004-5b.bad.mine":  nil,
		"what else may be in there.txt": nil,
	}
	for _, c := range []struct {
		name string
		why  string
		want Restored
		left []string
	}{
		{"all", "", Restored{4, 2}, []string{
			"pending a", fmt.Sprint("damaged ", lost), "damaged 21", "pending b", "pending c", "dead ", "pending e", "pending g"}},
		{"some", "large", Restored{1, 5}, []string{
			"pending a", "dead e", fmt.Sprint("damaged ", lost), "dead g", "damaged 21", "dead b", "dead ", "pending c"}},
		{"none", "nothing like it", Restored{0, 6}, []string{
			"pending a", "dead b", "dead c", "dead ", "dead e", fmt.Sprint("damaged ", lost), "dead g", "damaged 21"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := writeDir(t, files)
			which := func(r Record) bool { return strings.Contains(r.Why, c.why) }
			if c.why == "" {
				which = nil
			}
			done, err := Replay(dir, "", which)
			if err != nil || done != c.want {
				t.Errorf("%+v, %v", done, err)
			}
			if d := cmp.Diff(c.left, states(t, dir)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestReplayToAnotherSpool(t *testing.T) {
	t.Parallel()
	dir := writeDir(t, map[string][]byte{
		segmentName(7, deadSuffix): segmentOf(t, 7, letter("b", "x"), letter("c", "x")),
	})
	c := cursor{count: 3, at: position{9, 40}} // its segments are gone
	cursors := append(make([]byte, c.slot()), c.append(nil)...)
	to := writeDir(t, map[string][]byte{cursorName: cursors, segmentName(8, dataSuffix): segmentOf(t, 8, `{"v":1,"id":"a"}`)})
	if done, err := Replay(dir, to, nil); err != nil || done.Events != 2 {
		t.Errorf("%+v, %v", done, err)
	}
	if d := cmp.Diff([]string{"delivered a", "pending b", "pending c"}, states(t, to)); d != "" {
		t.Error(d)
	}
	if left := states(t, dir); left != nil {
		t.Error(left)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Skip(err)
	}
	if _, err := Replay(dir, link, nil); err != nil {
		t.Error("the same directory by another name:", err)
	}
}

// What is in a damaged file and intact comes out, whether there is a whole segment in it
// or a part, and however large.
func TestSalvage(t *testing.T) {
	t.Parallel()
	large := form(beacon.Event{ID: "large", Body: beacon.Text(strings.Repeat("x", 3<<20))})
	whole := segmentOf(t, 5, `{"v":1,"id":"a"}`, `{"v":1,"id":"b"}`, `{"v":1,"id":"c"}`)
	whole[headerSize+frameSize+4] ^= 1
	part := segmentOf(t, 6, `{"v":1,"id":"d"}`, large, `{"v":1,"id":"f"}`)
	part[headerSize+2] ^= 1          // the length of d
	part[len(part)-16] ^= 1          // and f: the large one is between two that are not right
	const at = headerSize            // of the part
	bad := segmentName(5, badSuffix) // by another name of the segment
	piece := badName(6, at, 0)       // by a copy
	noise := badName(6, 1<<40, 0)    // nothing in it
	huge := "0000000000000006-" + "7fffffffffffffff" + badSuffix
	dir := writeDir(t, map[string][]byte{bad: whole, piece: part[at:], noise: []byte("nothing"), huge: []byte("nothing")})
	want := []string{"damaged 24", "aside b", "aside c", "damaged 7", "damaged 24", "aside large", "damaged 24"}
	if d := cmp.Diff(want, states(t, dir)); d != "" {
		t.Fatal(d)
	}
	for range 2 { // the second time there is nothing to do
		if done, err := Salvage(dir, "", nil); err != nil || done.Events != 3 && done.Events != 0 {
			t.Errorf("%+v, %v", done, err)
		}
		got := states(t, dir)
		slices.Sort(got)
		want := []string{"damaged 24", "damaged 24", "damaged 24", "damaged 7", "pending b", "pending c", "pending large"}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
}

// However a replay ends, nothing is lost: each letter is in the queue, or still a dead
// letter, or both.
func TestReplayPowerCuts(t *testing.T) {
	t.Parallel()
	d := makeDirectory(t, 11, true, makeEvent)
	for _, c := range []struct {
		name  string
		which func(Record) bool
	}{
		{"all", func(Record) bool { return true }},
		{"some", func(r Record) bool { return strings.HasSuffix(r.Event.ID, "3") }},
	} {
		fs := newMemFS(contents(d.files))
		r := restoring{from: fs, to: fs, suffix: deadSuffix, which: c.which}
		if err := r.files(); err != nil || r.done.Events == 0 {
			t.Fatal(err, r.done)
		}
		rng := rand.New(rand.NewPCG(1, 1))
		disk := newDisk(fs.base)
		for k := range len(fs.ops) + 1 {
			for how := range cuts {
				var last *op
				tear := 0
				if k > 0 {
					last = &fs.ops[k-1]
					tear = rng.IntN(len(last.data) + 1)
				}
				if err := lettersLeft(d, disk.crash(how, last, tear, rng), k == len(fs.ops)); err != nil {
					t.Errorf("%s: after operation %d of %d, cut %d: %v", c.name, k, len(fs.ops), how, err)
				}
			}
			if k < len(fs.ops) {
				disk.apply(&fs.ops[k])
			}
		}
	}
}

// lettersLeft says whether the dead letters of a directory are all somewhere, and only once
// if what became of them is over.
func lettersLeft(d directory, fs *memFS, over bool) error {
	came, _, err := drain(fs)
	if err != nil {
		return err
	}
	found := map[string]int{}
	for _, e := range came {
		if got := form(e); got != d.sent[e.ID] {
			return fmt.Errorf("%s came back as %s", d.sent[e.ID], got)
		}
		found[e.ID]++
	}
	dead, err := deadLetters(fs)
	if err != nil {
		return err
	}
	for id := range dead {
		found[id]++
	}
	for id := range d.letters {
		if found[id] == 0 || over && found[id] > 1 {
			return fmt.Errorf("%s is there %d times", id, found[id])
		}
	}
	return nil
}

// A disk that fails at any operation costs nothing either.
func TestReplayOnAFailingDisk(t *testing.T) {
	t.Parallel()
	d := makeDirectory(t, 12, true, makeEvent)
	for n := 1; ; n++ {
		from, to := newMemFS(contents(d.files)), newMemFS(nil)
		count := 0
		fail := func(*op) error {
			if count++; count == n {
				return errors.New("failed")
			}
			return nil
		}
		from.hook, to.hook = fail, fail
		r := restoring{from: from, to: to, suffix: deadSuffix, which: func(r Record) bool { return strings.HasSuffix(r.Event.ID, "3") }}
		err := r.files()
		from.hook, to.hook = nil, nil
		if count < n {
			if err != nil || n < 10 {
				t.Errorf("%d operations, %v", n, err)
			}
			return
		}
		all := maps.Clone(from.files())
		for name, data := range to.files() {
			all["ffff"+name[4:]] = data // where it does not hide another
		}
		left := map[string]bool{}
		for _, fs := range []*memFS{from, to} {
			came, _, err := drain(fs)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range came {
				left[e.ID] = true
			}
			dead, err := deadLetters(fs)
			if err != nil {
				t.Fatal(err)
			}
			for id := range dead {
				left[id] = true
			}
		}
		for id := range d.letters {
			if !left[id] {
				t.Errorf("operation %d failed (%v), and %s is gone", n, err, id)
			}
		}
		if from.handles+to.handles != 0 {
			t.Errorf("operation %d failed, and %d files are open", n, from.handles+to.handles)
		}
	}
}

func TestPurge(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{
		segmentName(1, dataSuffix): segmentOf(t, 1, `{"v":1,"id":"a"}`),
		segmentName(2, deadSuffix): segmentOf(t, 2, letter("b", "x")),
		segmentName(3, deadSuffix): segmentOf(t, 3, letter("c", "x")),
		segmentName(4, dataSuffix): segmentOf(t, 4, `{"v":1,"id":"d"}`),
		badName(1, 99, 0):          []byte("x"),
		"mine.txt":                 nil,
		cursorName:                 nil,
		lockName:                   nil,
	}
	const both = "damaged 1,pending a,dead b,dead c,pending d"
	now := time.Now()
	for _, c := range []struct {
		name   string
		before time.Time
		states []State
		open   bool
		files  int
		left   string
		err    error
	}{
		{"dead", time.Time{}, []State{StateDead}, false, 2, "damaged 1,pending a,pending d", nil},
		{"dead while open", time.Time{}, []State{StateDead}, true, 1, "damaged 1,pending a,dead c,pending d", nil},
		{"damaged while open", time.Time{}, []State{StateDamaged}, true, 1, "pending a,dead b,dead c,pending d", nil},
		{"old ones", now.Add(-time.Hour), []State{StateDead, StateDamaged}, false, 1, "damaged 1,pending a,dead c,pending d", nil},
		{"events", time.Time{}, []State{StatePending}, false, 2, "damaged 1,dead b,dead c", nil},
		{"old events", now.Add(-time.Hour), []State{StatePending}, false, 1, "damaged 1,dead b,dead c,pending d", nil},
		{"everything", time.Time{}, []State{StatePending, StateDead, StateDamaged}, false, 5, "", nil},
		{"events while open", time.Time{}, []State{StateDead, StatePending}, true, 0, both, ErrLocked},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := writeDir(t, files)
			for _, name := range []string{segmentName(1, dataSuffix), segmentName(2, deadSuffix)} {
				if err := os.Chtimes(filepath.Join(dir, name), time.Time{}, now.Add(-2*time.Hour)); err != nil {
					t.Fatal(err)
				}
			}
			if c.open {
				unlock, err := lock(filepath.Join(dir, lockName))
				if err != nil {
					t.Skip(err)
				}
				defer unlock()
			}
			done, err := Purge(dir, c.before, c.states...)
			if done.Files != c.files || !errors.Is(err, c.err) {
				t.Errorf("%+v, %v", done, err)
			}
			if got := strings.Join(states(t, dir), ","); got != c.left {
				t.Errorf("left: %s", got)
			}
			if _, err := os.Stat(filepath.Join(dir, "mine.txt")); err != nil {
				t.Error(err)
			}
			if n, err := nextFree(dirFS(dir)); err != nil || n < 5 {
				t.Errorf("the next segment is %d again, %v", n, err)
			}
		})
	}
	if _, err := Purge(t.TempDir(), time.Time{}, StateDead); err == nil {
		t.Error("purged a directory that is no spool's")
	}
	if _, err := Purge(t.TempDir(), time.Time{}, StateDelivered); err == nil {
		t.Error("purged what no file is of")
	}
}

// A file that cannot be read in full stays where it is, and what can be read comes back.
func TestSalvageOfAnUnreadableFile(t *testing.T) {
	t.Parallel()
	name := segmentName(4, badSuffix)
	fs := newMemFS(contents(map[string][]byte{
		name: segmentOf(t, 4, `{"v":1,"id":"a"}`, form(beacon.Event{ID: "b", Page: strings.Repeat("x", 2*blockSize)}), `{"v":1,"id":"c"}`),
	}))
	fs.hook = func(o *op) error {
		if o.kind == opRead && o.name == name && o.off <= blockSize && o.off+o.size > blockSize {
			return errors.New("medium error")
		}
		return nil
	}
	r := restoring{from: fs, to: fs, suffix: badSuffix, which: func(Record) bool { return true }}
	if err := r.files(); err != nil || r.done != (Restored{2, 1}) {
		t.Errorf("%+v, %v", r.done, err)
	}
	fs.hook = nil
	if _, there := fs.files()[name]; !there {
		t.Error("the file is gone")
	}
	came, _, err := drain(fs)
	if err != nil || len(came) != 2 || came[0].ID != "a" || came[1].ID != "c" {
		t.Error(came, err)
	}
}
