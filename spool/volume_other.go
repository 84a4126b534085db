//go:build !linux

package spool

import "os"

func volatileVolume(*os.File) string { return "" }
func freeSpace(*os.File) int64       { return -1 }
