package spool

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

// What a running spool is writing shows in pieces, and is not damage.
func TestReadWhatIsBeingWritten(t *testing.T) {
	t.Parallel()
	const room = 500
	whole := segmentOf(t, 2, `{"v":1,"id":"a"}`, `{"v":1,"id":"b"}`, `{"v":1,"id":"c"}`)
	second, third := headerSize+24, headerSize+48
	allocated := func(data []byte) []byte { return append(bytes.Clone(data), make([]byte, room-len(data))...) }
	zeroed := func(from, to int) []byte {
		data := allocated(whole)
		clear(data[from:to])
		return data
	}
	flipped := allocated(whole)
	flipped[second+12] ^= 1
	for _, c := range []struct {
		name  string
		views [][]byte // what each read sees of it, the last one for good
		inUse bool
		newer bool // there is another segment behind it
		want  string
	}{
		{"at rest", [][]byte{allocated(whole)}, true, false, "pending a,pending b,pending c"},
		{"in pieces", [][]byte{zeroed(second+10, third), allocated(whole)}, true, false, "pending a,pending b,pending c"},
		{"the end is missing", [][]byte{zeroed(third+10, room)}, true, false, "pending a,pending b"},
		{"the end, and then pieces", [][]byte{zeroed(second+10, room), zeroed(second+12, third), allocated(whole)}, false, false,
			"pending a,pending b,pending c"},
		{"a header in pieces", [][]byte{zeroed(10, room), allocated(whole)}, true, false, "pending a,pending b,pending c"},
		{"what a crash left", [][]byte{zeroed(third+10, room)}, false, false, fmt.Sprint("pending a,pending b,damaged ", room-third)},
		{"a flipped bit", [][]byte{flipped}, true, false, "pending a,damaged 24,pending c"},
		{"an older segment", [][]byte{zeroed(third+10, room)}, true, true, fmt.Sprint("pending a,pending b,damaged ", room-third)},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string][]byte{segmentName(2, dataSuffix): c.views[0]}
			if c.newer {
				files[segmentName(3, dataSuffix)] = segmentOf(t, 3)
			}
			fs := newMemFS(contents(files))
			views := c.views
			fs.hook = func(o *op) error {
				if o.kind == opRead && o.name == segmentName(2, dataSuffix) {
					copy(o.node.data, views[0])
					views = views[min(1, len(views)-1):]
				}
				return nil
			}
			var got []string
			r := reading{fs: fs, inUse: func() bool { return c.inUse }, yield: func(r Record, err error) bool {
				if err != nil {
					t.Error(err)
				}
				name := r.Event.ID
				if r.State == StateDamaged {
					name = fmt.Sprint(r.Bytes)
				}
				got = append(got, string(r.State)+" "+name)
				return true
			}}
			r.directory()
			if d := cmp.Diff(c.want, strings.Join(got, ",")); d != "" {
				t.Error(d)
			}
		})
	}
}

// A segment that was delivered since the directory was listed is no failure.
func TestReadWhileFilesGo(t *testing.T) {
	fs := newMemFS(contents(map[string][]byte{
		segmentName(1, dataSuffix): segmentOf(t, 1, `{"v":1,"id":"a"}`), segmentName(2, dataSuffix): segmentOf(t, 2, `{"v":1,"id":"b"}`),
	}))
	fs.hook = func(o *op) error {
		if o.kind == opOpen && o.name == segmentName(1, dataSuffix) {
			return os.ErrNotExist
		}
		return nil
	}
	var ids []string
	r := reading{fs: fs, inUse: func() bool { return true }, yield: func(r Record, err error) bool {
		if err != nil {
			t.Error(err)
		}
		ids = append(ids, r.Event.ID)
		return true
	}}
	r.directory()
	if d := cmp.Diff([]string{"b"}, ids); d != "" {
		t.Error(d)
	}
}

// Whoever reads the files of a spool at work sees no damage.
func TestReadUnderLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(dir, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		if strings.HasSuffix(events[0].ID, "7") {
			return beacon.ErrPermanent
		}
		return nil
	}), Options{Sync: Never, SegmentBytes: 1 << 18, BatchEvents: 5})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				e := beacon.Event{ID: fmt.Sprint(w, "-", n), Body: beacon.Text(strings.Repeat("text ", n%2000))}
				if err := s.Consume(t.Context(), []beacon.Event{e}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	records := 0
	for until := time.Now().Add(time.Duration(scale(500, 10000)) * time.Millisecond); time.Now().Before(until) || records == 0; {
		for r, err := range Read(dir) {
			if err != nil || r.Err != nil {
				t.Fatalf("%s, %d bytes at %d: %v, %v", r.File, r.Bytes, r.Offset, err, r.Err)
			}
			records++
		}
	}
	close(done)
	writers.Wait()
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
