package curves

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/pagebeacon/beacon/internal/bench/pair"
)

// A watch is on those who share the machine: rates are lower when they have much of it.
type watch struct {
	pids      []int // who are not others
	begun     time.Time
	all, ours time.Duration
}

func watchOthers(pids ...int) (w watch, err error) {
	w = watch{pids: pids, begun: time.Now()}
	w.all, w.ours, err = w.read()
	return w, err
}

// share is the part of all processors that others have had.
func (w watch) share() (float64, error) {
	all, ours, err := w.read()
	had := float64(all - w.all - (ours - w.ours))
	return max(0, had/float64(time.Since(w.begun))/float64(runtime.NumCPU())), err
}

func (w watch) read() (all, ours time.Duration, err error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	if all, err = everybody(string(stat)); err != nil {
		return 0, 0, err
	}
	for _, pid := range append(w.pids, os.Getpid()) {
		d, err := pair.CPUOf(pid)()
		if err != nil {
			return 0, 0, err
		}
		ours += d
	}
	return all, ours, nil
}

// everybody is the time that all processes have computed, and what others on the same
// hardware have taken away, by the first line of /proc/stat.
func everybody(stat string) (sum time.Duration, err error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 {
		return 0, fmt.Errorf("/proc/stat begins with %.80q", line)
	}
	fields = fields[1:9] // user nice system idle iowait irq softirq steal
	for _, f := range append(fields[:3:3], fields[5:]...) {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		sum += time.Duration(n) * 10 * time.Millisecond
	}
	return sum, nil
}
