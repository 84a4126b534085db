//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"
)

// mayWrite refuses a directory of another user: that user's program could not read files
// that this one makes.
func mayWrite(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d: run this as that user", dir, st.Uid)
	}
	return nil
}
