package faults

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestInjected lets system calls of the spool fail, with strace. A loader library
// cannot do that, since Go calls the kernel itself.
func TestInjected(t *testing.T) {
	need(t, "strace")
	for _, row := range []struct {
		name, calls, fault string
		paths              bool // restrict to the files of the spool; the runtime needs these calls too
		refuses            bool // it must show: faults in a row, which a second try does not get over
		stuck              bool // it never goes on
	}{
		{name: "data sync EIO", calls: "fdatasync", fault: "error=EIO:when=20+7"},
		{name: "data sync EIO many in a row", calls: "fdatasync", fault: "error=EIO:when=20..60", refuses: true},
		{name: "data sync EIO for ever", calls: "fdatasync", fault: "error=EIO:when=50+", refuses: true, stuck: true},
		{name: "directory sync EIO", calls: "fsync", fault: "error=EIO:when=2+2", refuses: true},
		{name: "write ENOSPC", calls: "pwrite64", fault: "error=ENOSPC:when=20+9"},
		{name: "write EIO for ever", calls: "pwrite64", fault: "error=EIO:when=50+", refuses: true, stuck: true},
		{name: "allocate ENOSPC", calls: "fallocate", fault: "error=ENOSPC:when=2+2"},
		{name: "allocate EIO", calls: "fallocate", fault: "error=EIO:when=2+2", refuses: true},
		{name: "truncate EIO", calls: "ftruncate", fault: "error=EIO:when=2+2"},
		{name: "remove EIO", calls: "unlinkat", fault: "error=EIO:when=2+2"},
		{name: "create EMFILE", calls: "openat", fault: "error=EMFILE:when=2+2", paths: true}, // a spare descriptor gets over it
		{name: "create EACCES", calls: "openat", fault: "error=EACCES:when=2+2", paths: true, refuses: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := realDisk(t)
			out, trace := filepath.Join(dir, "delivered"), filepath.Join(dir, "trace")
			j := job{Dir: filepath.Join(dir, "spool"), Out: out, Next: "store", SegmentBytes: 32 << 10, Writers: 16}
			strace := []string{"strace", "-f", "-qq", "--seccomp-bpf", "-o", trace, "-e", "signal=none",
				"-e", "trace=" + row.calls, "-e", "inject=" + row.calls + ":" + row.fault}
			if row.paths {
				for n := range 4000 {
					strace = append(strace, "-P", filepath.Join(j.Dir, fmt.Sprintf("%016x.seg", n)))
				}
			}
			c := start(t, j, strace...)
			var l ledger
			wait := c.writers(&l)
			time.Sleep(pick(1200*time.Millisecond, 10*time.Second))
			alive := c.running()
			var before, after int
			// Calls are counted for each thread: one that is new, as on a busy machine, has
			// some more before they fail, and before they do for ever. And there, nothing may
			// come of a third of a second.
			for range 40 {
				before = l.ackedCount()
				time.Sleep(pick(300*time.Millisecond, 2*time.Second))
				after = l.ackedCount()
				if b, err := os.ReadFile(trace); err != nil {
					t.Fatal(err)
				} else if bytes.Contains(b, []byte("(INJECTED)")) && row.stuck == (after == before) {
					break
				}
			}
			var st report
			if alive {
				st = c.report()
			}
			c.kill()
			refused := wait()
			recovered, recoveredStats := recoverSpool(t, j.Dir)
			delivered, _ := readStore(t, out)
			v := l.check(delivered, recovered)
			v.must(t, row.name)

			b, err := os.ReadFile(trace)
			if err != nil {
				t.Fatal(err)
			}
			injected := bytes.Count(b, []byte("(INJECTED)"))
			t.Logf("%s: %d of %d calls failed, %d events refused, %d delivered, %d recovered; program: %+v; recovery: %+v",
				row.name, injected, strings.Count(string(b), "\n"), refused, len(delivered), len(recovered), st.Spool, recoveredStats)
			if !alive {
				t.Errorf("the program ended:\n%s", &c.err)
			}
			if injected == 0 {
				t.Error("no call failed, so nothing is proven")
			}
			if row.refuses && refused == 0 {
				t.Error("nothing was refused")
			}
			if !row.stuck && after == before {
				t.Error("it did not go on")
			}
			if row.stuck && after != before {
				t.Error("it went on without its disk")
			}
		})
	}
}
