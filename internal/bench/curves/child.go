package curves

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"github.com/pagebeacon/beacon/internal/bench/e2e/load"
	"github.com/pagebeacon/beacon/internal/bench/e2e/proc"
)

// jobEnv makes this program one of the other processes.
const jobEnv = "BEACON_CURVES_JOB"

// A job is what another process does: one of these.
type job struct {
	Server *server `json:",omitempty"`
	Load   bool    `json:",omitempty"`
}

// Child returns if this process was started by a user. One that [Measure] has started
// does what it was started for, and ends.
func Child() {
	spec, ok := os.LookupEnv(jobEnv)
	if !ok {
		return
	}
	var j job
	err := json.Unmarshal([]byte(spec), &j)
	switch {
	case err != nil:
	case j.Server != nil:
		err = j.Server.run()
	case j.Load:
		next := reports()
		err = proc.Answer(os.Stdin, os.Stdout, func(o load.Options) (load.Result, error) {
			o.Next = next
			return load.Run(o)
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// start runs a job on a processor, or on any if cpu is -1, with so many for Go's
// scheduler, or as many as there are if that is 0.
func start(j job, cpu, maxprocs int) (*proc.Process, error) {
	spec, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	env := []string{jobEnv + "=" + string(spec), "GOGC=100", "GOMEMLIMIT=off", "GODEBUG=", "GOMAXPROCS="}
	if maxprocs > 0 {
		env[len(env)-1] += strconv.Itoa(maxprocs)
	}
	return proc.Start(cpu, env, self)
}
