package wire

import (
	"bytes"
	"errors"
	"io"
)

// The ways in which a multipart body can be broken.
var (
	errNoBoundary   = errors.New("no boundary in the content type or the body")
	errNoDelimiter  = errors.New("first boundary not found")
	errNoTerminator = errors.New("closing boundary not found")
	errNoHeaderEnd  = errors.New("part without an empty line after its header")
)

// A Part is one part of a multipart/form-data body.
type Part struct {
	Name    string
	Content []byte

	// Of a file, which a part is that has a file name, if only an empty one.
	IsFile             bool
	FileName, FileType string
}

// Parts walks over a multipart/form-data entry list (RFC 7578, as browsers write
// it: HTML §4.10.21.8) from delimiter to delimiter. Names and contents share the
// body.
//
// It is its own scanner because mime/multipart loses data here: a control byte
// in a name fails the form, a trailing backslash the part, %22 stays encoded,
// file names lose their directory, and a file without a name becomes a value.
type Parts struct {
	body     []byte
	boundary string
	eol      string // line break that belongs to a delimiter
	pos      int    // after the delimiter line last seen
	last     bool   // that was the closing one
}

// Multipart returns the parts of body. An empty body has none. If the boundary is
// empty it is read off the body: fetch with a FormData body and a Content-Type of
// its own has no boundary there.
func Multipart(body []byte, boundary string) (Parts, error) {
	s := Parts{body: body, boundary: boundary, eol: "\r\n"}
	if len(body) == 0 {
		s.last = true
		return s, nil
	}
	if boundary == "" {
		if s.boundary = boundaryOf(body); s.boundary == "" {
			return s, errNoBoundary
		}
	}
	if !s.start() {
		return s, errNoDelimiter
	}
	return s, nil
}

// boundaryOf reads the boundary off the first line of body.
func boundaryOf(body []byte) string {
	line, _, ok := bytes.Cut(body, []byte("\r\n"))
	if !ok || len(line) < 3 || len(line) > 2+maxBoundary || line[0] != '-' || line[1] != '-' {
		return ""
	}
	line = line[2:]
	if bytes.HasSuffix(line, []byte("--")) && len(bytes.TrimSpace(body)) == len(line)+2 {
		line = line[:len(line)-2] // an empty form is nothing but its terminator
	}
	return string(line)
}

// maxBoundary is the longest boundary that RFC 2046 §5.1.1 allows, with room for
// senders that count differently.
const maxBoundary = 128

// start finds the first delimiter, which stands at the very start or, after a
// preamble, at the start of a line. If that one closes the form already, what
// stands before it would be lost.
func (s *Parts) start() bool {
	pos := 0
	for !s.delimiter(pos) {
		i := bytes.IndexByte(s.body[pos:], '\n')
		if i < 0 {
			return false
		}
		pos += i + 1
	}
	return !s.last || len(bytes.TrimSpace(s.body[:pos])) == 0
}

// next finds the delimiter at or after pos, moves behind its line, and returns
// where the content before it ends, or -1.
func (s *Parts) next(pos int) int {
	for {
		i := bytes.IndexByte(s.body[pos:], s.eol[0])
		if i < 0 {
			return -1
		}
		end := pos + i
		pos = end + 1
		if len(s.eol) == 2 {
			if pos == len(s.body) || s.body[pos] != '\n' {
				continue
			}
			pos++
		}
		if s.delimiter(pos) {
			return end
		}
	}
}

// delimiter reads a delimiter's line from pos, behind its line break: "--", the
// boundary, and then "--" if it closes, or else blanks at most. Anything else
// means that the boundary is only a prefix of longer text.
func (s *Parts) delimiter(pos int) bool {
	b := s.body[pos:]
	if len(b) < 2+len(s.boundary) || b[0] != '-' || b[1] != '-' || string(b[2:2+len(s.boundary)]) != s.boundary {
		return false
	}
	b = b[2+len(s.boundary):]
	if len(b) >= 2 && b[0] == '-' && b[1] == '-' {
		rest := bytes.TrimLeft(b[2:], " \t")
		s.last = len(rest) == 0 || rest[0] == '\n' || rest[0] == '\r' && (len(rest) == 1 || rest[1] == '\n')
		return s.last
	}
	if len(b) > 0 && b[0] != '\r' {
		b = bytes.TrimLeft(b, " \t")
	}
	switch {
	case len(b) >= 2 && b[0] == '\r' && b[1] == '\n':
		s.pos = len(s.body) - len(b) + 2
		return true
	case len(b) >= 1 && b[0] == '\n' && (s.pos == 0 || s.eol == "\n"):
		// The first delimiter decides for bare line feeds, which hand-written
		// senders use.
		s.pos, s.eol = len(s.body)-len(b)+1, "\n"
		return true
	}
	return false
}

const (
	nameEnd     = "\"\r\n\r\n"
	formData    = `Content-Disposition: form-data; name="`
	filename    = `; filename="`
	contentType = `Content-Type: `
)

// Next reads the next part into p. The error is io.EOF behind the last one. The
// exact header that browsers write is matched first; whatever else a sender may
// write is read line by line.
func (s *Parts) Next(p *Part) error {
	if s.last {
		return io.EOF
	}
	*p = Part{}
	pos := s.pos
	if b := s.body[pos:]; bytes.HasPrefix(b, []byte(formData)) {
		if n := plainName(b[len(formData):]); n >= 0 {
			p.Name = Text(b[len(formData):][:n])
			return s.content(p, pos+len(formData)+n+len(nameEnd))
		}
		name, n := quoted(b[len(formData):])
		rest := b[len(formData)+n:]
		if n > 0 && bytes.HasPrefix(rest, []byte(filename)) {
			var file []byte
			file, n = quoted(rest[len(filename):])
			rest = rest[len(filename)+n:]
			p.IsFile, p.FileName = true, unescapeName(file)
		}
		if n > 0 && len(rest) >= 2 && rest[0] == '\r' && rest[1] == '\n' {
			p.Name = unescapeName(name)
			pos = len(s.body) - len(rest) + 2
		} else {
			p.IsFile, p.FileName = false, ""
		}
	}
	for {
		line, n := headerLine(s.body[pos:])
		if n == 0 {
			return errNoHeaderEnd
		}
		pos += n
		if len(line) == 0 {
			break
		}
		if line[0] == '-' && s.delimiter(pos-n) {
			return errNoHeaderEnd // else the next part's header would be this one's
		}
		if bytes.HasPrefix(line, []byte(contentType)) {
			p.FileType = Text(line[len(contentType):])
			continue
		}
		key, value, _ := bytes.Cut(line, []byte(":"))
		key, value = bytes.TrimRight(key, " \t"), bytes.Trim(value, " \t")
		switch {
		case bytes.EqualFold(key, []byte("Content-Type")):
			p.FileType = Text(value)
		case bytes.EqualFold(key, []byte("Content-Disposition")):
			p.Name, p.FileName, p.IsFile = disposition(value)
		}
	}
	return s.content(p, pos)
}

// content reads what stands behind the header of a part.
func (s *Parts) content(p *Part, start int) error {
	// A part without content has the delimiter right after its header, whose
	// last line break then belongs to the delimiter.
	end := start
	if !s.delimiter(start) {
		if end = s.next(start); end < 0 {
			return errNoTerminator
		}
	}
	p.Content = s.body[start:end:end]
	return nil
}

// plainName is the length of a name at the start of b with nothing escaped in it, and
// with nothing behind it in the header, as most are; -1 for any other.
func plainName(b []byte) int {
	for i, c := range b {
		switch c {
		case '"':
			if bytes.HasPrefix(b[i:], []byte(nameEnd)) {
				return i
			}
			return -1
		case '%', '\n':
			return -1
		}
	}
	return -1
}

// headerLine returns the line at the start of b without its line break, and how
// many bytes it takes with it: 0 if b has no line break.
func headerLine(b []byte) (line []byte, n int) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return nil, 0
	}
	line = b[:i]
	if i > 0 && line[i-1] == '\r' {
		line = line[:i-1]
	}
	return line, i + 1
}

// quoted returns the contents of a quoted string whose opening quote is already
// behind, and how many bytes it takes with its closing quote: 0 if there is none
// on this line. Browsers escape quotes as %22 and nothing by backslash, so the
// first quote closes, if it ends the line or a ";" follows.
func quoted(b []byte) (s []byte, n int) {
	i := bytes.IndexByte(b, '"')
	if i < 0 || i+1 >= len(b) || (b[i+1] != '\r' && b[i+1] != ';') || bytes.IndexByte(b[:i], '\n') >= 0 {
		return nil, 0
	}
	return b[:i], i + 1
}

// disposition parses the value of a Content-Disposition header leniently: any
// order, case and spacing of parameters, bare values, and the backslash escapes
// of senders that are not browsers.
func disposition(v []byte) (name, file string, isFile bool) {
	_, rest, _ := bytes.Cut(v, []byte(";"))
	for len(rest) > 0 {
		rest = bytes.TrimLeft(rest, " \t;")
		if i := bytes.IndexAny(rest, ";="); i >= 0 && rest[i] == ';' {
			rest = rest[i:] // a parameter without a value
			continue
		}
		key, after, ok := bytes.Cut(rest, []byte("="))
		if !ok {
			break
		}
		key = bytes.TrimRight(key, " \t")
		after = bytes.TrimLeft(after, " \t")
		var value string
		if len(after) > 0 && after[0] == '"' {
			value, rest = quotedParam(after[1:])
		} else {
			var bare []byte
			bare, rest, _ = bytes.Cut(after, []byte(";"))
			value = unescapeName(bytes.TrimRight(bare, " \t"))
		}
		switch {
		case bytes.EqualFold(key, []byte("name")):
			name = value
		case bytes.EqualFold(key, []byte("filename")):
			file, isFile = value, true
		}
	}
	return name, file, isFile
}

// quotedParam reads a quoted string up to the quote that ends the header or
// stands before ";". A quote inside it that follows a backslash marks a sender
// that escapes by backslash, so then all backslash escapes are undone; otherwise
// a backslash is itself, as in "C:\dir\".
func quotedParam(b []byte) (value string, rest []byte) {
	escaped := false
	for i := range b {
		if b[i] != '"' {
			continue
		}
		after := bytes.TrimLeft(b[i+1:], " \t")
		if len(after) == 0 || after[0] == ';' {
			if escaped {
				return unescapeName(unbackslash(b[:i])), after
			}
			return unescapeName(b[:i]), after
		}
		escaped = escaped || i > 0 && b[i-1] == '\\'
	}
	return unescapeName(b), nil
}

func unbackslash(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) && (b[i+1] == '"' || b[i+1] == '\\') {
			i++
		}
		out = append(out, b[i])
	}
	return out
}

// unescapeName undoes the multipart escaping of names and file names: exactly
// %22, %0D and %0A (HTML §4.10.21.8). "%" itself is not escaped by browsers, so
// a page's own literal "%22" is read as a quote; nothing can tell the two apart.
func unescapeName(b []byte) string {
	i := bytes.IndexByte(b, '%')
	if i < 0 {
		return Text(b)
	}
	var out []byte
	for start := 0; ; {
		j := bytes.IndexByte(b[i:], '%')
		if j < 0 || i+j+3 > len(b) {
			if out == nil {
				return Text(b)
			}
			return Text(append(out, b[start:]...))
		}
		i += j
		var c byte
		switch string(b[i+1 : i+3]) {
		case "22":
			c = '"'
		case "0D":
			c = '\r'
		case "0A":
			c = '\n'
		default:
			i++
			continue
		}
		if out == nil {
			out = make([]byte, 0, len(b))
		}
		out = append(append(out, b[start:i]...), c)
		i += 3
		start = i
	}
}
