package main

import (
	"bytes"
	"io"

	"github.com/andybalholm/brotli"
)

// compressors make what is served to those that accept it, by the ending of its name.
// Neither is the standard library's, of which the output can change with its version:
// these change with go.mod or not at all, so what is built can be compared.
var compressors = map[string]func([]byte) ([]byte, error){
	".br": compress(func(w io.Writer) (io.WriteCloser, error) {
		// The smallest window that all of a file fits into: the least that a
		// browser has to set aside.
		return brotli.NewWriterOptions(w, brotli.WriterOptions{Quality: brotli.BestCompression, LGWin: 16}), nil
	}),
	".gz": gzipOf,
}

func compress(to func(io.Writer) (io.WriteCloser, error)) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		var out bytes.Buffer
		w, err := to(&out)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(b); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		return out.Bytes(), nil
	}
}
