//go:build !linux

package spool

import "os"

func allocate(*os.File, int64) error { return nil } // files grow as they are written

func syncData(f *os.File) error { return f.Sync() }
