package pair

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is the CPU time that this process has used.
func CPU() (time.Duration, error) { return cpu(unix.CLOCK_PROCESS_CPUTIME_ID) }

// CPUOf returns the clock of another process. Linux makes its number of the process's,
// see clock_getcpuclockid(3).
func CPUOf(pid int) func() (time.Duration, error) {
	const scheduled = 2 // all that the scheduler gave it, in the kernel too
	return func() (time.Duration, error) { return cpu(int32(^pid<<3 | scheduled)) }
}

func cpu(clock int32) (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, fmt.Errorf("CPU time: %w", err)
	}
	return time.Duration(t.Nano()), nil
}
