//go:build !race

package sessions_test

// raced is whether the race detector watches, which makes everything ten times slower.
const raced = false
