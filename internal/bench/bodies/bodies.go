// Package bodies has what is measured: the bodies of browsers and of those who mean
// harm, and requests with the headers that Chromium sends.
package bodies

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// Content types as browsers write them.
const (
	Boundary      = "----WebKitFormBoundaryTmAdoUlni2Uu1c8W"
	MultipartType = "multipart/form-data; boundary=" + Boundary
	FormType      = "application/x-www-form-urlencoded;charset=UTF-8"
	TextType      = "text/plain;charset=UTF-8"
	JSONType      = "application/json"
	LinesType     = "application/x-ndjson"
	ReportsType   = "application/reports+json"
	CSPType       = "application/csp-report"
)

// A Body is what a request has in it.
type Body struct {
	Name   string
	Type   string
	Coding string // the content coding, or none
	Data   []byte
	Query  string // of the request that carries it
	Events int    // how many are in it
}

// Multipart is FormData of so many fields and a file of so many bytes, or none.
func Multipart(fields, file int) Body {
	var b bytes.Buffer
	names := []string{"start", "end", "msg"}
	values := []string{"1700000000000", "1700000012345", "session ended after a click on save"}
	for i := range fields {
		name := names[i%3]
		if i >= 3 {
			name = fmt.Sprint(name, i)
		}
		fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", Boundary, name, values[i%3])
	}
	name := fmt.Sprintf("multipart, %d fields", fields)
	if file > 0 {
		name += fmt.Sprintf(" and a file of %d KB", file>>10)
		fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"data.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n", Boundary)
		b.Write(noise(file))
		b.WriteString("\r\n")
	}
	fmt.Fprintf(&b, "--%s--\r\n", Boundary)
	return Body{Name: name, Type: MultipartType, Data: b.Bytes(), Events: 1}
}

// noise is the same each time, and does not compress.
func noise(n int) []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// URLEncoded is URLSearchParams of so many pairs; three are those of a session's end.
func URLEncoded(pairs int) Body {
	text := "start=1700000000000&end=1700000012345&msg=session+ended+after+a+click+on+%22save%22&v=1.2.3"
	if pairs != 3 {
		var b strings.Builder
		for i := range pairs {
			fmt.Fprintf(&b, "&field_%d=value+of+%d%%2C+and+more+text", i, i)
		}
		text = b.String()[1:]
	}
	return Body{Name: fmt.Sprintf("urlencoded, %d fields", pairs), Type: FormType, Data: []byte(text), Events: 1}
}

// JSON is one object as text, which is how sendBeacon sends a string. Five items are
// some 300 bytes, 75 are 4 KB, and 1,150 are 60 KB.
func JSON(items int) Body {
	type item struct {
		Name  string  `json:"name"`
		Value float64 `json:"value"`
		Tags  []string
	}
	var v struct {
		Event string `json:"event"`
		Items []item `json:"items"`
	}
	v.Event = "web-vitals"
	for i := range items {
		v.Items = append(v.Items, item{"LCP", 1234.5 + float64(i), []string{"good", "x"}})
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	name := fmt.Sprintf("JSON of %d bytes", len(b))
	if len(b) >= 2000 {
		name = fmt.Sprintf("JSON of %d KB", (len(b)+500)/1000)
	}
	return Body{Name: name, Type: TextType, Data: b, Events: 1}
}

// Text is a log line.
func Text() Body {
	return Body{Name: "text of 23 bytes", Type: TextType, Data: []byte("user 42 pressed \"save\"!"), Events: 1}
}

// Gzip is b as a client with CompressionStream sends it.
func Gzip(b Body) Body {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(b.Data); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	b.Name, b.Coding, b.Data = b.Name+", gzip", "gzip", z.Bytes()
	return b
}
