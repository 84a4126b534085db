module github.com/pagebeacon/beacon

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	github.com/gorilla/schema v1.4.1
)
