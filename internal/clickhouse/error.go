package clickhouse

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// An Error is an answer that says what went wrong.
type Error struct {
	Status  int           // of HTTP
	Code    int           // of ClickHouse, or 0 if something else has answered
	After   time.Duration // what it says of when to come again, or 0
	message string
}

// ClickHouseCode returns Code, for who has the error and not its type.
func (e *Error) ClickHouseCode() int { return e.Code }

// Error says what the server does.
func (e *Error) Error() string {
	if e.Code == 0 {
		return fmt.Sprintf("not an answer of ClickHouse: status %d: %s", e.Status, e.message)
	}
	return e.message
}

// newError returns the error of an answer.
func newError(status int, header http.Header, body []byte) *Error {
	const most = 1 << 10
	e := &Error{Status: status}
	if n, err := strconv.Atoi(header.Get("X-ClickHouse-Exception-Code")); err == nil {
		e.Code = n
	} else if at := bytes.Index(body, []byte("Code: ")); at >= 0 {
		rest := body[at+len("Code: "):]
		end := 0
		for end < len(rest) && '0' <= rest[end] && rest[end] <= '9' {
			end++
		}
		e.Code, _ = strconv.Atoi(string(rest[:end]))
		body = body[at:]
	}
	if n, err := strconv.Atoi(header.Get("Retry-After")); err == nil && n > 0 && n < 1<<30 {
		e.After = time.Duration(n) * time.Second
	}
	text, _, _ := strings.Cut(string(body[:min(len(body), most)]), ", e.what() = ")
	e.message = strconv.Quote(strings.TrimSpace(strings.ToValidUTF8(text, "\uFFFD")))
	e.message = e.message[1 : len(e.message)-1]
	return e
}
