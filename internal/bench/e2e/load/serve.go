package load

import (
	"io"

	"github.com/pagebeacon/beacon/internal/bench/e2e/proc"
)

// Serve is the load in a process of its own: see [proc.Answer]. The questions are
// Options, the answers Results.
func Serve(in io.Reader, out io.Writer) error {
	kept := map[string]*run{} // by Addr
	return proc.Answer(in, out, func(o Options) (Result, error) {
		if err := o.check(); err != nil {
			return Result{}, err
		}
		r := kept[o.Addr]
		delete(kept, o.Addr)
		if r != nil && len(r.conns) != o.Conns {
			r.close()
			r = nil
		}
		if r == nil {
			var err error
			if r, err = dial(o); err != nil {
				return Result{}, err
			}
		}
		r.books = books{Options: o}
		err := r.measure()
		if o.Keep && err == nil {
			kept[o.Addr] = r
		} else {
			r.close()
		}
		return r.result, err
	})
}
