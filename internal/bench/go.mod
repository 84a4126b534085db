module github.com/pagebeacon/beacon/internal/bench

go 1.26.0

// schema is what a host without beacon would bind forms with; sys reads the CPU time of processes.
require (
	github.com/gorilla/schema v1.4.1
	github.com/pagebeacon/beacon v0.0.0
	golang.org/x/sys v0.48.0
)

replace github.com/pagebeacon/beacon => ../..
