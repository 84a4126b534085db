module github.com/pagebeacon/beacon/internal/attacks

go 1.26.0

require (
	github.com/pagebeacon/beacon v0.0.0
	golang.org/x/net v0.56.0
)

require (
	github.com/gorilla/schema v1.4.1 // indirect
	golang.org/x/text v0.38.0 // indirect
)

replace github.com/pagebeacon/beacon => ../..
