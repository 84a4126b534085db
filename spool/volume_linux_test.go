package spool

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
)

// A file system that keeps nothing is said to be one.
func TestVolatileVolumes(t *testing.T) {
	for dir, want := range map[string]string{"/dev/shm": "tmpfs", t.TempDir(): ""} {
		d, err := os.Open(dir)
		if err != nil {
			t.Skip(err)
		}
		got := volatileVolume(d)
		if free := freeSpace(d); free <= 0 {
			t.Error(dir, free, "bytes free")
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if want == "tmpfs" && got != want {
			t.Error(dir, got)
		}
	}
	dir, err := os.MkdirTemp("/dev/shm", "spool")
	if err != nil {
		t.Skip(err)
	}
	defer os.RemoveAll(dir)
	var log journal
	s, err := Open(dir, new(taker), Options{Logger: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if said := log.with(`level=WARN msg="spool: events are no safer`); len(said) != 1 || !strings.Contains(said[0], `"file system"=tmpfs`) {
		t.Error(log.lines)
	}
}

// The free space is known from Open on, and asked for again without a wait for it.
func TestFreeSpace(t *testing.T) {
	s := mustOpen(t, t.TempDir(), new(taker))
	if st := s.Stats(); st.Free <= 0 {
		t.Errorf("%+v", st)
	}
	s.mu.Lock()
	s.volume.free = 1
	s.volume.asked = time.Time{}
	s.mu.Unlock()
	deadline := time.Now().Add(time.Minute)
	for s.Stats().Free <= 1 {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", s.Stats())
		}
		time.Sleep(time.Millisecond)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// Where space cannot be allocated in advance the file grows as it is written.
func TestAllocate(t *testing.T) {
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0) // ENODEV
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, c := range []struct {
		f    *os.File
		size int64
		ok   bool
	}{
		{null, 4096, true},
		{file, -1, true},       // EINVAL
		{file, 1 << 62, false}, // EFBIG: a smaller one may do
		{file, 4096, true},
	} {
		if err := allocate(c.f, c.size); (err == nil) != c.ok || !c.ok && !noSpace(err) {
			t.Errorf("%s, %d: %v", c.f.Name(), c.size, err)
		}
	}
	if info, err := file.Stat(); err != nil || info.Size() != 4096 {
		t.Error(info, err)
	}
}

const descriptorsEnv = "SPOOL_DESCRIPTORS"

// A host that has used up its descriptors does not keep the spool from making segments, of
// events and of dead letters.
func TestNoDescriptorsLeft(t *testing.T) {
	if dir := os.Getenv(descriptorsEnv); dir != "" {
		if err := withoutDescriptors(dir); err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestNoDescriptorsLeft$")
	cmd.Env = append(os.Environ(), descriptorsEnv+"="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func withoutDescriptors(dir string) error {
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 64, Max: 64}); err != nil {
		return err
	}
	s, err := Open(dir, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
		for _, e := range events {
			if e.Name == "bad" {
				return beacon.ErrPermanent
			}
		}
		return nil
	}), Options{SegmentBytes: 4096, DiskTimeout: time.Hour})
	if err != nil {
		return err
	}
	used := 0
	for ; ; used++ { // all that are left
		if _, err := syscall.Open(os.DevNull, syscall.O_RDONLY, 0); err != nil {
			break
		}
	}
	if used < 10 || used >= 64 {
		return fmt.Errorf("%d descriptors used up", used)
	}
	for i := range 50 { // some ten segments
		e := beacon.Event{ID: fmt.Sprint(i), Body: beacon.Text(strings.Repeat("x", 700))}
		if i%10 == 5 {
			e.Name = "bad"
		}
		if err := s.Consume(context.Background(), []beacon.Event{e}); err != nil {
			return fmt.Errorf("event %d: %w", i, err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Flush(ctx); err != nil {
			return err
		}
	}
	if st := s.Stats(); st.Delivered != 45 || st.Dead != 5 || st.DiskErrors != 0 {
		return fmt.Errorf("%+v", st)
	}
	return s.Close(context.Background())
}
