package spool

import "errors"

// errNoSpace is found in no error: the system has only a text for it.
var errNoSpace = errors.New("no space left on device")

func noSpace(err error) bool { return errors.Is(err, errNoSpace) }
