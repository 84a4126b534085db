//go:build !plan9

package spool

import "syscall"

// errNoSpace is found in the error of a write to a full disk.
var errNoSpace error = syscall.ENOSPC
