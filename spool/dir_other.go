//go:build !unix

package spool

import "os"

const noFollow = 0

// Directories cannot be synced, and NTFS journals them.
func syncDir(string) error       { return nil }
func syncOpenDir(*os.File) error { return nil }

// A file that is open, such as the lock, cannot be removed or renamed.
func (d *openDir) intact(file) error { return nil }

func outOfDescriptors(error) bool { return false }
