//go:build !unix

package beacon

import "time"

var processStart = time.Now()

// cpuTime is the time on the wall where the system does not tell the process's own.
func cpuTime() int64 { return int64(time.Since(processStart)) }
