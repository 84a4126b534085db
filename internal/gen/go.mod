module github.com/pagebeacon/beacon/internal/gen

go 1.26.0

require (
	github.com/andybalholm/brotli v1.2.8
	github.com/evanw/esbuild v0.28.2
	github.com/tdewolff/parse/v2 v2.8.20
)

require golang.org/x/sys v0.0.0-20220715151400-c0bba94af5f8 // indirect
