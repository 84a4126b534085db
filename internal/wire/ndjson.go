package wire

import (
	"bytes"
	"iter"
)

// Lines yields the lines of newline-delimited JSON that are not blank.
func Lines(body []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := skipSpace(body, 0); i < len(body); i = skipSpace(body, i) { // over lines that are blank, too
			line := body[i:]
			if end := bytes.IndexByte(line, '\n'); end >= 0 {
				line = line[:end]
			}
			i += len(line)
			if line = bytes.TrimSpace(line); len(line) > 0 && !yield(line) {
				return
			}
		}
	}
}

// IsLines says whether a body that should be one JSON text is several, each in a line
// of its own: an object or array each, since nothing else is sent like that.
func IsLines(body []byte, maxDepth int) bool {
	n := 0
	for line := range Lines(body) {
		if !LooksLikeJSON(line) || CheckJSON(line, maxDepth) == JSONInvalid {
			return false
		}
		n++
	}
	return n > 1
}
