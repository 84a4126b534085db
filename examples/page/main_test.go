package main

import (
	"testing"
	"time"

	"github.com/pagebeacon/beacon/internal/example"
)

// TestPage: who opens the page and closes it is told how long that was.
func TestPage(t *testing.T) {
	p := example.Start(t, ".")
	page := p.Open(p.URLs[0] + "/")
	page.Close("me", 12340*time.Millisecond, 10*time.Second)
	p.Says(`"` + p.URLs[0] + `/": here for 12\.34s, engaged for 10s\n`)
}
