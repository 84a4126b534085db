package beacontest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"

	"github.com/pagebeacon/beacon"
)

// Boundary is the multipart boundary that [NewRequest] uses, shaped like
// Chromium's.
const Boundary = "----WebKitFormBoundaryTmAdoUlni2Uu1c8W"

// NewRequest returns a server request that carries body as a browser would send
// it with navigator.sendBeacon from a page of the same origin:
//
//   - Empty without a body, Text as text/plain, JSON as an application/json Blob
//   - Form as FormData; see [URLEncoded] for the other form
//   - Binary with its Type as Content-Type
//   - Ping as <a ping>, Report as a Reporting API upload of one
//
// It is for a handler's ServeHTTP, like that of httptest.NewRequest: to send it
// with an http.Client, set its URL and clear its RequestURI. Change it as needed.
// NewRequest panics if target cannot be parsed.
func NewRequest(target string, body beacon.Body) *http.Request {
	contentType, data := encode(body)
	r := httptest.NewRequest(http.MethodPost, target, bytes.NewReader(data))
	h := r.Header
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	h.Set("Origin", "http://"+r.Host)
	h.Set("Referer", "http://"+r.Host+"/page")
	h.Set("Sec-Fetch-Site", "same-origin")
	h.Set("Sec-Fetch-Mode", "no-cors")
	h.Set("Sec-Fetch-Dest", "empty")
	h.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36")
	if p, ok := body.(beacon.Ping); ok {
		h.Set("Ping-To", p.To)
		if p.From != "" {
			h.Set("Ping-From", p.From)
		}
	}
	return r
}

func encode(body beacon.Body) (contentType string, data []byte) {
	switch b := body.(type) {
	case beacon.Text:
		return "text/plain;charset=UTF-8", []byte(b)
	case beacon.JSON:
		return "application/json", b
	case beacon.Form:
		return "multipart/form-data; boundary=" + Boundary, FormData(b, Boundary)
	case beacon.Binary:
		return b.Type, b.Data
	case beacon.Ping:
		return "text/ping", []byte("PING")
	case beacon.Report:
		data, err := json.Marshal([]map[string]any{{
			"type": b.Type, "url": b.URL, "user_agent": b.UserAgent, "age": b.Age.Milliseconds(), "body": b.Body,
		}})
		if err != nil {
			panic(fmt.Sprintf("beacontest: report: %v", err))
		}
		return "application/reports+json", data
	}
	return "", nil
}

// FormData returns the multipart/form-data body that browsers make of an entry
// list (HTML §4.10.21.8): in names and file names, quotes and line breaks are
// escaped and nothing else. It does not turn a lone CR or LF into CRLF, as
// browsers do in names and in values before that.
func FormData(form beacon.Form, boundary string) []byte {
	var b bytes.Buffer
	escape := strings.NewReplacer(`"`, "%22", "\r", "%0D", "\n", "%0A")
	for _, f := range form {
		b.WriteString("--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + escape.Replace(f.Name) + `"`)
		if f.File == nil {
			b.WriteString("\r\n\r\n" + f.Value + "\r\n")
			continue
		}
		typ := f.File.Type
		if typ == "" {
			typ = "application/octet-stream"
		}
		b.WriteString(`; filename="` + escape.Replace(f.File.Name) + "\"\r\nContent-Type: " + typ + "\r\n\r\n")
		b.Write(f.File.Data)
		b.WriteString("\r\n")
	}
	b.WriteString("--" + boundary + "--\r\n")
	return b.Bytes()
}

// URLEncoded returns the application/x-www-form-urlencoded form of an entry list
// (URL §5.2), as URLSearchParams and queries have it. A file stands as its name.
func URLEncoded(form beacon.Form) string {
	var b strings.Builder
	escape := func(s string) {
		for _, c := range []byte(s) {
			switch {
			case c == ' ':
				b.WriteByte('+')
			case c == '*' || c == '-' || c == '.' || c == '_' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z':
				b.WriteByte(c)
			default:
				b.WriteString("%" + strings.ToUpper(strconv.FormatUint(uint64(c)|0x100, 16)[1:]))
			}
		}
	}
	for i, f := range form {
		if i > 0 {
			b.WriteByte('&')
		}
		escape(f.Name)
		b.WriteByte('=')
		if f.File != nil {
			escape(f.File.Name)
		} else {
			escape(f.Value)
		}
	}
	return b.String()
}
