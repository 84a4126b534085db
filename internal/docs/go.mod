module github.com/pagebeacon/beacon/internal/docs

go 1.26.0

// Parses Markdown, which regular expressions do not.
require github.com/yuin/goldmark v1.8.7

replace github.com/pagebeacon/beacon => ../..
