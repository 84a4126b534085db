//go:build aix || (solaris && !illumos)

package spool

// lock takes the directory for this process. The lock goes with the process,
// however that ends.
func lock(name string) (unlock func() error, err error) { return fcntlLock(name) }
