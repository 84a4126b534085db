//go:build !unix && !windows

package spool

import (
	"errors"
	"os"
)

func lock(string) (*os.File, error) { return nil, errors.ErrUnsupported }

func syncDir(string) error { return nil }
