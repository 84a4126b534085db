//go:build !unix

package spool

func syncDir(string) error { return nil } // directories cannot be synced, and NTFS journals them
