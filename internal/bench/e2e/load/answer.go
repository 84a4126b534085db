package load

import (
	"bytes"
	"fmt"
	"strconv"
)

// answer returns the status of the answer that b begins with, and how many bytes
// it has: zero if it is not whole yet.
func answer(b []byte) (status, size int, err error) {
	head := bytes.Index(b, []byte("\r\n\r\n"))
	if head < 0 {
		return 0, 0, nil
	}
	size = head + 4
	if head < len("HTTP/1.1 204") || !bytes.HasPrefix(b, []byte("HTTP/1.1 ")) {
		return 0, 0, fmt.Errorf("load: not an answer of HTTP/1.1: %.80q", b)
	}
	status = int(b[9]-'0')*100 + int(b[10]-'0')*10 + int(b[11]-'0')
	if status == 204 || status == 304 {
		return status, size, nil
	}
	length := -1
	for line := range bytes.SplitSeq(b[:head], []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, 0, fmt.Errorf("load: %q", line)
			}
		}
	}
	if length < 0 || status < 200 {
		return 0, 0, fmt.Errorf("load: an answer of a kind that is not read here: %.200q", b[:head])
	}
	if size += length; size > len(b) {
		size = 0
	}
	return status, size, nil
}
