module github.com/pagebeacon/beacon/internal/bench

go 1.26.0

// schema is what a host without beacon would bind forms with; sys reads the CPU time of processes. fasthttp, bbolt and
// sqlite are what a host could take instead, and stand beside in the tables.
require (
	github.com/google/go-cmp v0.7.0
	github.com/gorilla/schema v1.4.1
	github.com/pagebeacon/beacon v0.0.0
	github.com/valyala/fasthttp v1.69.0
	go.etcd.io/bbolt v1.5.0
	golang.org/x/sys v0.48.0
	modernc.org/sqlite v1.60.1
)

require (
	github.com/andybalholm/brotli v1.2.0 // indirect
	github.com/dustin/go-humanize v1.0.1 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/klauspost/compress v1.18.2 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/ncruces/go-strftime v1.0.0 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	github.com/valyala/bytebufferpool v1.0.0 // indirect
	modernc.org/libc v1.77.1 // indirect
	modernc.org/mathutil v1.7.1 // indirect
	modernc.org/memory v1.12.1 // indirect
)

replace github.com/pagebeacon/beacon => ../..
