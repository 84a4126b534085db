package clickhouse

import (
	"bufio"
	"bytes"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Values as texts: the literals of statements, and TabSeparated.

// fill puts the literals of args in place of the question marks of a statement, but for
// those in quotes.
func fill(query string, args []driver.NamedValue) ([]byte, error) {
	b := make([]byte, 0, len(query)+64*len(args))
	var quote byte
	n := 0
	for i := 0; i < len(query); i++ {
		c := query[i]
		switch {
		case quote != 0 && c == '\\' && i+1 < len(query):
			b = append(b, c)
			i++
			c = query[i]
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"' || c == '`':
			quote = c
		case c == '?':
			if n == len(args) {
				return nil, fmt.Errorf("more parameters than the %d values", n)
			}
			var err error
			if b, err = appendLiteral(b, args[n].Value); err != nil {
				return nil, err
			}
			n++
			continue
		}
		b = append(b, c)
	}
	if n != len(args) {
		return nil, fmt.Errorf("%d parameters for %d values", n, len(args))
	}
	return b, nil
}

func appendLiteral(b []byte, v driver.Value) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, "NULL"...), nil
	case int64:
		if v < 0 { // so that no minus stands before it, which would begin a comment
			return append(strconv.AppendInt(append(b, '('), v, 10), ')'), nil
		}
		return strconv.AppendInt(b, v, 10), nil
	case string:
		b = AppendText(append(b, '\''), v)
		return append(b, '\''), nil
	}
	return nil, fmt.Errorf("a parameter is %T", v)
}

// AppendText appends a text as it stands between quotes, in a statement and in Values. That
// is how TabSeparated has it, too.
func AppendText[T string | []byte](b []byte, text T) []byte {
	from := 0
	for i := range len(text) {
		c := text[i]
		if c > '\'' && c != '\\' {
			continue
		}
		switch c {
		case '\\', '\'':
		case '\t':
			c = 't'
		case '\n':
			c = 'n'
		case '\r':
			c = 'r'
		case 0:
			c = '0'
		default:
			continue
		}
		b = append(append(b, text[from:i]...), '\\', c)
		from = i + 1
	}
	return append(b, text[from:]...)
}

// rows are those of an answer in TabSeparatedWithNamesAndTypes.
type rows struct {
	body  io.Closer
	r     *bufio.Reader
	line  []byte // as long as one may be, for those that the reader does not hold
	names []string
	types []kind
}

type kind int

const (
	text kind = iota
	integer
	decimal
	instant // in UTC
)

var errCut = errors.New("the answer ends before its end")

func newRows(body io.ReadCloser) (*rows, error) {
	r := &rows{body: body, r: bufio.NewReaderSize(body, 64<<10)}
	for i := range 2 {
		line, err := r.next()
		if err == io.EOF && i == 0 {
			return r, nil // of a statement that has no rows
		}
		if err != nil {
			body.Close()
			return nil, fmt.Errorf("%w: %w", errCut, err)
		}
		for cell := range bytes.SplitSeq(line, []byte{'\t'}) {
			word := string(unescape(cell))
			if i == 0 {
				r.names = append(r.names, word)
				continue
			}
			word = strings.TrimSuffix(strings.TrimPrefix(word, "Nullable("), ")")
			switch {
			case strings.HasPrefix(word, "Int"), strings.HasPrefix(word, "UInt"):
				r.types = append(r.types, integer)
			case word == "DateTime('UTC'":
				r.types = append(r.types, instant)
			case strings.HasPrefix(word, "Float"):
				r.types = append(r.types, decimal)
			default:
				r.types = append(r.types, text)
			}
		}
	}
	if len(r.names) != len(r.types) {
		body.Close()
		return nil, fmt.Errorf("%d names for %d columns", len(r.names), len(r.types))
	}
	return r, nil
}

func (r *rows) Columns() []string { return r.names }
func (r *rows) Close() error      { return r.body.Close() }

// Next sets the values of the next row.
func (r *rows) Next(values []driver.Value) error {
	if len(r.names) == 0 {
		return io.EOF
	}
	line, err := r.next()
	if err == io.EOF {
		return io.EOF
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	for i := range values {
		cell, rest, more := bytes.Cut(line, []byte{'\t'})
		if more != (i < len(values)-1) {
			return fmt.Errorf("a row has not the %d columns that it should have", len(values))
		}
		line = rest
		if values[i], err = r.value(r.types[i], cell); err != nil {
			return err
		}
	}
	return nil
}

func (r *rows) value(k kind, cell []byte) (driver.Value, error) {
	if string(cell) == `\N` {
		return nil, nil
	}
	switch k {
	case integer:
		n, err := strconv.ParseInt(string(cell), 10, 64)
		if err != nil { // larger than that
			return string(cell), nil
		}
		return n, nil
	case instant:
		return time.Parse(time.DateTime, string(cell))
	case decimal:
		return strconv.ParseFloat(string(cell), 64)
	}
	return string(unescape(cell)), nil
}

// next returns the next line, without its end.
func (r *rows) next() ([]byte, error) {
	r.line = r.line[:0]
	for {
		part, err := r.r.ReadSlice('\n')
		if err == nil && len(r.line) == 0 {
			return part[:len(part)-1], nil
		}
		r.line = append(r.line, part...)
		switch {
		case err == nil:
			return r.line[:len(r.line)-1], nil
		case err == io.EOF && len(r.line) > 0:
			return nil, io.ErrUnexpectedEOF
		case err != bufio.ErrBufferFull:
			return nil, err
		}
	}
}

// unescape returns a text as it was before it was escaped, in the same place.
func unescape(b []byte) []byte {
	to := bytes.IndexByte(b, '\\')
	if to < 0 {
		return b
	}
	for i := to; i < len(b); i++ {
		c := b[i]
		if c == '\\' && i+1 < len(b) {
			i++
			switch c = b[i]; c {
			case 'b':
				c = '\b'
			case 'f':
				c = '\f'
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			case '0':
				c = 0
			}
		}
		b[to] = c
		to++
	}
	return b[:to]
}
