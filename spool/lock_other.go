//go:build !unix && !windows

package spool

import "errors"

func lock(string) (unlock func() error, err error) { return nil, errors.ErrUnsupported }
