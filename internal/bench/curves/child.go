package curves

import (
	"os"
	"os/signal"
	"strconv"

	"github.com/pagebeacon/beacon/internal/bench/e2e/load"
	"github.com/pagebeacon/beacon/internal/bench/e2e/proc"
)

// The processes that [Tables] starts: this program again, with one of these arguments.
const (
	serving = "curves-serve"
	loading = "curves-load"
)

// Child runs the process that the arguments of the program name, if they name one of
// [Tables]. A program that calls Tables calls it first.
func Child(args []string) (ran bool, err error) {
	if len(args) != 1 {
		return false, nil
	}
	switch args[0] {
	case serving:
		signal.Ignore(os.Interrupt) // Ctrl-C is told to all; the end of the input comes, too
		p := new(program)
		err := proc.Answer(os.Stdin, os.Stdout, p.answer)
		_ = os.RemoveAll(p.dir) // who started it may be gone
		return true, err
	case loading:
		next := reports()
		return true, proc.Answer(os.Stdin, os.Stdout, func(o load.Options) (load.Result, error) {
			o.Next = next
			return load.Run(o)
		})
	}
	return false, nil
}

// start runs a process on a processor, or on any if cpu is -1, with so many for Go's
// scheduler, or as many as there are if that is 0.
func start(what string, cpu, maxprocs int) (*proc.Process, error) {
	env := []string{"GOGC=", "GOMEMLIMIT=", "GOMAXPROCS="}
	if maxprocs > 0 {
		env[2] += strconv.Itoa(maxprocs)
	}
	return proc.Start(cpu, env, os.Args[0], what)
}

// serve starts a server.
func serve(s server, cpu, maxprocs int) (p *proc.Process, addr string, err error) {
	if p, err = start(serving, cpu, maxprocs); err != nil {
		return nil, "", err
	}
	var now state
	if err := p.Ask(ask{Start: &s}, &now); err != nil {
		return nil, "", err
	}
	return p, now.Addr, nil
}
