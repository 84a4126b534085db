// Release makes a release of all modules of this repository, and pushes nothing:
//
//	.ci/release v1.2.3
//	.ci/release -n v1.2.3
//
// The modules below the root are released with it, under the same version and without
// the lines that replace each other by a directory. Those lines stay on main, so that one
// commit there can change the root and what stands on it, and one test sees both. A
// release therefore has commits of its own beside main: the root is tagged on main, and
// from there goes a chain of one commit for each other module, in the order in which they
// need each other. Each of them is fetched by the go command from its tag before the next
// is made, so what is in a go.sum is what a proxy will say.
//
// All of it is done in a clone. Only when nothing is left that could fail, the commits and
// tags come from there in one transaction.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("release: ")
	dry := flag.Bool("n", false, "do all of it in a clone, and leave this repository as it is")
	root := flag.String("C", ".", "the directory of the repository")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: .ci/release [-n] v1.2.3")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*root, flag.Arg(0), *dry); err != nil {
		log.Fatal(err)
	}
}

// run makes the release. After an error the repository is as it was.
func run(root, version string, dry bool) (err error) {
	tmp, err := os.MkdirTemp("", "beacon-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	r := &release{root: root, tmp: tmp, version: version, today: time.Now().UTC().Format(time.DateOnly)}
	if err := r.check(); err != nil {
		return err
	}
	if err := r.open(); err != nil {
		return err
	}
	// The module cache must not have what never becomes this version, of a run before or of this one.
	forget(r.cache, r.version)
	defer forget(r.cache, r.version)
	for _, step := range []func() error{r.changelog, r.api, r.tagRoot, r.tagModules, r.pack} {
		if err := step(); err != nil {
			return err
		}
	}
	if dry {
		fmt.Printf("\nNothing was changed. Without -n these tags would be made:\n  %s\n", joinLines(r.tags))
		return nil
	}
	return r.publish()
}
