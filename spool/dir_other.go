//go:build !unix

package spool

import "os"

const noFollow = 0

// Directories cannot be synced, and NTFS journals them.
func syncDir(string) error       { return nil }
func syncOpenDir(*os.File) error { return nil }

func noName(*os.File) bool        { return false } // a file that is open cannot be removed
func outOfDescriptors(error) bool { return false }
