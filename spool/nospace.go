//go:build !plan9

package spool

import (
	"errors"
	"syscall"
)

// errNoSpace is found in the error of a write to a full disk.
var errNoSpace error = syscall.ENOSPC

// noSpace says whether a smaller file might do: the disk, a quota or the size of one file
// is at its limit.
func noSpace(err error) bool {
	return errors.Is(err, errNoSpace) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}
