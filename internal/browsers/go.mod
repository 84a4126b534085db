module github.com/pagebeacon/beacon/internal/browsers

go 1.26.0

require (
	github.com/coder/websocket v1.8.15
	github.com/google/go-cmp v0.7.0
	github.com/pagebeacon/beacon v0.0.0
)

require github.com/gorilla/schema v1.4.1 // indirect

replace github.com/pagebeacon/beacon => ../..
