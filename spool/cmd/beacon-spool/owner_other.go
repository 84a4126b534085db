//go:build !unix

package main

// mayWrite has nothing to ask where files have no owner as on Unix.
func mayWrite(string) error { return nil }
