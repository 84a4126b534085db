module github.com/pagebeacon/beacon/connect/kafka

go 1.26.0

// franz-go: the one client of Kafka that is all Go, has an idempotent producer, and the
// cooperative protocol; kmsg are its requests, kfake its brokers for tests.
require (
	github.com/google/go-cmp v0.7.0
	github.com/pagebeacon/beacon v0.0.0
	github.com/twmb/franz-go v1.22.2
	github.com/twmb/franz-go/pkg/kmsg v1.15.0
)

require (
	github.com/gorilla/schema v1.4.1 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/pierrec/lz4/v4 v4.1.33 // indirect
	github.com/twmb/franz-go/pkg/kfake v0.0.0-20260918054303-01f206a7e32c
)

replace github.com/pagebeacon/beacon => ../..
