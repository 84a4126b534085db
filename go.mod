module github.com/pagebeacon/beacon

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	github.com/gorilla/schema v1.4.1
)

require (
	golang.org/x/exp v0.0.0-20260908205506-85c1c2202aba // indirect
	golang.org/x/mod v0.41.0 // indirect
	golang.org/x/sync v0.23.0 // indirect
	golang.org/x/tools v0.50.0 // indirect
)

tool golang.org/x/exp/cmd/apidiff
