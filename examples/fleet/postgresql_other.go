//go:build !linux

package main

import "context"

// startPostgreSQL starts none: here it takes a DATABASE_URL.
func startPostgreSQL(context.Context) (dsn string, stop func() error, err error) {
	return "", nil, errNoPostgreSQL
}
