package attacks

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// memory is what the process has resident now, and the most that it had since forget.
func (p *process) memory() (now, peak int64) {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			now = kb << 10
		case "VmHWM":
			peak = kb << 10
		}
	}
	return now, peak
}

// forget makes the peak of the memory what is resident now.
func (p *process) forget() {
	p.t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0); err != nil {
		p.t.Fatal(err)
	}
}

// cpu is the time that the process has computed.
func (p *process) cpu() time.Duration {
	p.t.Helper()
	return computed(p.t, strconv.Itoa(p.cmd.Process.Pid))
}

// tick is the unit of time in /proc.
const tick = 10 * time.Millisecond

// computed is the time that a process, by its name in /proc, has computed.
func computed(t *testing.T, pid string) time.Duration {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // after the name, which may hold anything
	const user, system = 11, 12
	return ticks(t, strings.Fields(rest)[user:system+1])
}

// everybody is the time that all processes have computed, and what others on the same
// hardware have taken away.
func everybody(t *testing.T) time.Duration {
	t.Helper()
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	fields := strings.Fields(line)[1:9] // user nice system idle iowait irq softirq steal
	return ticks(t, append(fields[:3:3], fields[5:]...))
}

func ticks(t *testing.T, fields []string) (sum time.Duration) {
	t.Helper()
	for _, f := range fields {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(n) * tick
	}
	return sum
}
