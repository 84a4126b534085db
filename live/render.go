package live

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pagebeacon/beacon"
)

// What is shown of an event, in bytes and numbers.
const (
	eventBytes = 12 << 10 // of all its texts together
	bodyBytes  = 8 << 10  // of a text or a JSON text
	valueBytes = 1 << 10
	nameBytes  = 200
	dataBytes  = 256 // of binary data
	pairsMost  = 60
	jsonDepth  = 12  // what nests deeper is shown as it came
	jsonLine   = 100 // bytes that fit a line
)

// A shown is an event as the page gets it. Times are milliseconds since the epoch.
type shown struct {
	ID       string   `json:"id"`
	Name     string   `json:"name,omitempty"`
	Kind     string   `json:"kind"`
	Time     int64    `json:"time"`
	Received int64    `json:"received"`
	Size     int      `json:"size"`
	Page     string   `json:"page,omitempty"`
	Key      string   `json:"key,omitempty"`
	View     string   `json:"view,omitempty"`
	Verified bool     `json:"verified,omitempty"`
	Said     string   `json:"said,omitempty"` // the session of this event alone
	Body     body     `json:"body"`
	Query    []pair   `json:"query,omitempty"`
	Attrs    []pair   `json:"attrs,omitempty"`
	Notes    []string `json:"notes,omitempty"`
	About    []pair   `json:"about,omitempty"` // what the request said
}

// A pair is a name and a value, and perhaps a file.
type pair struct {
	Name  string `json:"n"`
	Value string `json:"v,omitempty"`
	File  *file  `json:"file,omitempty"`
}

type file struct {
	Name string `json:"name"`
	Type string `json:"type,omitempty"`
	Size int    `json:"size"`
	Head string `json:"head,omitempty"`
	Hex  bool   `json:"hex,omitempty"`
}

// A body has of its members those that its kind needs.
type body struct {
	Text   string `json:"text,omitempty"`
	JSON   string `json:"json,omitempty"`
	Size   int    `json:"size,omitempty"` // of Text or JSON where that is not all
	Fields []pair `json:"fields,omitempty"`
	More   int    `json:"more,omitempty"` // fields that are not shown
	File   *file  `json:"file,omitempty"`
}

// A purse is how many bytes may still be spent on an event.
type purse int

func (p *purse) text(s string, most int) string {
	most = min(most, max(int(*p), 0))
	*p -= purse(min(len(s), most))
	return cutTo(s, most)
}

func render(e *beacon.Event, key, view string) []byte {
	p := purse(eventBytes)
	x := shown{
		ID: p.text(e.ID, nameBytes), Name: p.text(e.Name, nameBytes), Kind: "empty", Key: key,
		Time: e.Time.UnixMilli(), Received: e.Received.UnixMilli(), Size: e.Size(),
		Page: p.text(e.Page, 2*nameBytes), View: shortID(view), Verified: e.Verified,
	}
	if e.Received.IsZero() {
		x.Received = x.Time
	}
	if e.Time.IsZero() {
		x.Time = x.Received
	}
	if s, err := beacon.SessionOf(*e); err == nil {
		x.Said = s.String()
	}
	for i, n := range e.Errors {
		if i == pairsMost/2 {
			break
		}
		x.Notes = append(x.Notes, p.text(strings.TrimPrefix(n.Error(), "beacon: "), nameBytes))
	}
	if e.Body != nil {
		x.Kind = e.Body.Kind()
		x.Body = p.body(e.Body)
	}
	x.Query, _ = p.form(e.Query)
	for i, k := range slices.Sorted(maps.Keys(e.Attrs)) {
		if i == pairsMost {
			break
		}
		x.Attrs = append(x.Attrs, pair{Name: p.text(k, nameBytes), Value: p.text(e.Attrs[k], valueBytes)})
	}
	x.About = p.about(e)
	data, err := json.Marshal(x)
	if err != nil { // it cannot be: texts and numbers
		data = []byte(`{"kind":"empty","body":{}}`)
	}
	return data
}

func (p *purse) about(e *beacon.Event) []pair {
	r := &e.Request
	var all []pair
	add := func(name, value string) {
		if value != "" {
			all = append(all, pair{Name: name, Value: p.text(value, nameBytes)})
		}
	}
	add("Request", strings.TrimSpace(r.Method+" "+r.Path))
	add("Content type", r.ContentType)
	add("Coding", r.Encoding)
	if e.Series != "" {
		add("Series", fmt.Sprintf("%s, number %d, %s", e.Series, e.Seq, e.Mode))
	}
	add("Origin", r.Origin)
	add("Fetch metadata", strings.Join(slices.DeleteFunc([]string{r.FetchSite, r.FetchMode, r.FetchDest}, func(s string) bool { return s == "" }), ", "))
	add("Purpose", r.Purpose)
	add("User agent", r.UserAgent)
	if r.ClientIP.IsValid() {
		add("Client", r.ClientIP.String())
	}
	var asked []string
	if e.Privacy.GPC {
		asked = append(asked, "Global Privacy Control")
	}
	if e.Privacy.DNT {
		asked = append(asked, "Do Not Track")
	}
	add("Privacy", strings.Join(asked, ", "))
	return all
}

func (p *purse) body(b beacon.Body) (x body) {
	switch b := b.(type) {
	case beacon.Text:
		x.Text, x.Size = p.text(string(b), bodyBytes), cutSize(len(b), bodyBytes)
	case beacon.JSON:
		x.JSON, x.Size = p.json(b)
	case beacon.Form:
		x.Fields, x.More = p.form(b)
	case beacon.Binary:
		x.File = p.file(beacon.File{Type: b.Type, Data: b.Data})
	case beacon.Ping:
		x.Fields = []pair{{Name: "from", Value: p.text(b.From, valueBytes)}, {Name: "to", Value: p.text(b.To, valueBytes)}}
	case beacon.Report:
		x.Fields = []pair{{Name: "type", Value: p.text(b.Type, nameBytes)}, {Name: "about", Value: p.text(b.URL, valueBytes)}, {Name: "age", Value: b.Age.String()}}
		x.JSON, x.Size = p.json(b.Body)
	}
	return x
}

func cutSize(n, most int) int {
	if n > most {
		return n
	}
	return 0
}

func (p *purse) form(f beacon.Form) (pairs []pair, more int) {
	more = max(0, len(f)-pairsMost)
	for _, x := range f[:len(f)-more] {
		y := pair{Name: p.text(x.Name, nameBytes)}
		if x.File != nil {
			y.File = p.file(*x.File)
		} else {
			y.Value = p.text(x.Value, valueBytes)
		}
		pairs = append(pairs, y)
	}
	return pairs, more
}

func (p *purse) file(f beacon.File) *file {
	x := &file{Name: p.text(f.Name, nameBytes), Type: p.text(f.Type, nameBytes), Size: len(f.Data)}
	if head := f.Data[:min(len(f.Data), valueBytes)]; plain(head, len(head) < len(f.Data)) {
		x.Head = p.text(string(f.Data[:min(len(f.Data), valueBytes+1)]), valueBytes)
		return x
	}
	head := f.Data[:min(len(f.Data), dataBytes, max(int(*p), 0)/3)]
	*p -= purse(3 * len(head))
	var b strings.Builder
	for i, c := range head {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(hex.EncodeToString([]byte{c}))
	}
	if len(head) < len(f.Data) {
		b.WriteString(" …")
	}
	x.Head, x.Hex = b.String(), true
	return x
}

// plain tells whether data is text that people read. Where it was cut its last character
// may be incomplete.
func plain(data []byte, cut bool) bool {
	for i := 0; cut && i < utf8.UTFMax && len(data) > 0 && !utf8.Valid(data); i++ {
		data = data[:len(data)-1]
	}
	return utf8.Valid(data) && !bytes.ContainsFunc(data, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' })
}

// json indents what does not fit a line. The exact text stays as it is: no number loses a
// digit, and no name that is there twice its first value.
func (p *purse) json(b []byte) (text string, size int) {
	if len(b) > jsonLine && len(b) <= bodyBytes/2 && depth(b) <= jsonDepth {
		var out bytes.Buffer
		if json.Indent(&out, b, "", "  ") == nil && out.Len() <= bodyBytes {
			b = out.Bytes()
		}
	}
	return p.text(string(b[:min(len(b), bodyBytes+1)]), bodyBytes), cutSize(len(b), bodyBytes)
}

// depth returns how deeply a JSON text nests.
func depth(b []byte) (deepest int) {
	now, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '{' || c == '['):
			now++
			deepest = max(deepest, now)
		case !quoted && (c == '}' || c == ']'):
			now--
		}
	}
	return deepest
}
