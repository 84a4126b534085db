package beacon

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// scan decodes a body of this type; more are header names and values.
func scan(contentType, body string, more ...string) ([]Event, error) {
	h := http.Header{}
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	for i := 0; i < len(more); i += 2 {
		h.Set(more[i], more[i+1])
	}
	return Decode(&http.Request{Method: http.MethodPost, Header: h}, []byte(body), Limits{})
}

// scanOne wants exactly one event.
func scanOne(t *testing.T, contentType, body string, more ...string) Event {
	t.Helper()
	events, err := scan(contentType, body, more...)
	if err != nil {
		t.Fatalf("%s: %.200q: %v", contentType, body, err)
	}
	if len(events) != 1 {
		t.Fatalf("%s: %.200q: %d events", contentType, body, len(events))
	}
	return events[0]
}

func wantBody(t *testing.T, want Body, got Event) {
	t.Helper()
	if diff := cmp.Diff(want, got.Body); diff != "" {
		t.Errorf("body (-want +got)\n%s", diff)
	}
}

func wantRefused(t *testing.T, err error, status int, reason string) {
	t.Helper()
	refused, ok := errors.AsType[*RequestError](err)
	if !ok || refused.Status != status || refused.Reason != reason {
		t.Errorf("error %v, want status %d, reason %s", err, status, reason)
	}
}

// notes are the keys of an event's errors.
func notes(e Event) (keys []string) {
	for _, x := range e.Errors {
		keys = append(keys, x.Key)
	}
	return keys
}

const scanMultipartType = "multipart/form-data; boundary=B"

// TestMultipartHeader sends one part whose header stands between the delimiter
// and the empty line, and whose content is "1".
func TestMultipartHeader(t *testing.T) {
	const cd = "Content-Disposition: form-data; name="
	octets := func(name string) *File {
		return &File{Name: name, Type: "application/octet-stream", Data: []byte("1")}
	}
	const octetsType = "\r\nContent-Type: application/octet-stream"
	for _, test := range []struct {
		about, header string
		want          Field
	}{
		// As browsers write it: HTML §4.10.21.8.
		{"plain", cd + `"a"`, Field{Name: "a", Value: "1"}},
		{"empty name", cd + `""`, Field{Value: "1"}},
		{"NUL", cd + "\"a\x00b\"", Field{Name: "a\x00b", Value: "1"}},
		{"control bytes", cd + "\"\x01\t\x1B\x7F\"", Field{Name: "\x01\t\x1B\x7F", Value: "1"}},
		{"NUL and a file", cd + "\"\x00\"; filename=\"\x00\"" + octetsType, Field{Name: "\x00", File: octets("\x00")}},
		{"ends in a backslash", cd + `"C:\"`, Field{Name: `C:\`, Value: "1"}},
		{"file names end in a backslash", cd + `"a\"; filename="C:\"` + octetsType, Field{Name: `a\`, File: octets(`C:\`)}},
		{"two backslashes", cd + `"a\\b\\"`, Field{Name: `a\\b\\`, Value: "1"}},
		{"backslash and semicolon", cd + `"a\;b"`, Field{Name: `a\;b`, Value: "1"}},
		{"semicolons", cd + `"a; filename=x;"`, Field{Name: "a; filename=x;", Value: "1"}},
		{"escaped quotes", cd + `"%22a%22"`, Field{Name: `"a"`, Value: "1"}},
		{"a name that looks like a file", cd + `"a%22; filename=%22x"`, Field{Name: `a"; filename="x`, Value: "1"}},
		{"escaped line breaks", cd + `"na%22me%0D%0Ax"`, Field{Name: "na\"me\r\nx", Value: "1"}},
		{"no other escape", cd + `"%41%20%2522%0d%0a%%22%2"`, Field{Name: `%41%20%2522%0d%0a%"%2`, Value: "1"}},
		{"a line break that is not escaped", cd + "\"a\nb\"", Field{Name: "a", Value: "1"}},
		{"UTF-8", cd + `"é日😀"`, Field{Name: "é日😀", Value: "1"}},
		{"windows-1252", cd + "\"\xE9\x80\"", Field{Name: "\xE9\x80", Value: "1"}},
		{"path", cd + `"f"; filename="../dir/x.txt"` + octetsType, Field{Name: "f", File: octets("../dir/x.txt")}},
		{"windows path", cd + `"f"; filename="C:\dir\x.txt"` + octetsType, Field{Name: "f", File: octets(`C:\dir\x.txt`)}},
		{"file name with quotes and line breaks", cd + `"f"; filename="%22%0A%0D%5C"` + octetsType, Field{Name: "f", File: octets("\"\n\r%5C")}},
		{"file without a name", cd + `"f"; filename=""` + octetsType, Field{Name: "f", File: octets("")}},
		{"type of any text", cd + "\"f\"; filename=\"x\"\r\nContent-Type:  a;b=\"c\" ", Field{Name: "f", File: &File{Name: "x", Type: ` a;b="c" `, Data: []byte("1")}}},
		{"empty type", cd + "\"f\"; filename=\"x\"\r\nContent-Type: ", Field{Name: "f", File: &File{Name: "x", Data: []byte("1")}}},

		// As other senders do.
		{"backslash escapes", cd + `"say \"hi\""`, Field{Name: `say "hi"`, Value: "1"}},
		{"backslash escapes with a backslash", cd + `"\"C:\\dir\"" ; filename="\"\\"`, Field{Name: `"C:\dir"`, File: &File{Name: `"\`, Data: []byte("1")}}},
		{"unquoted", "Content-Disposition: form-data; name=a", Field{Name: "a", Value: "1"}},
		{"unquoted file", "Content-Disposition: form-data; name=a; filename=x.txt", Field{Name: "a", File: &File{Name: "x.txt", Data: []byte("1")}}},
		{"unclosed quote", cd + `"a`, Field{Name: "a", Value: "1"}},
		{"unescaped quote", cd + `"a"b\\c"`, Field{Name: `a"b\\c`, Value: "1"}},
		{"file name first", `Content-Disposition: form-data; filename="x"; name="a"`, Field{Name: "a", File: &File{Name: "x", Data: []byte("1")}}},
		{"type first", "Content-Type: text/plain\r\n" + cd + `"f"; filename="x"`, Field{Name: "f", File: &File{Name: "x", Type: "text/plain", Data: []byte("1")}}},
		{"lower case", "content-disposition: form-data; name=\"f\"; filename=\"x\"\r\ncontent-type: text/plain", Field{Name: "f", File: &File{Name: "x", Type: "text/plain", Data: []byte("1")}}},
		{"upper case", "CONTENT-DISPOSITION: FORM-DATA; NAME=\"f\"; FILENAME=\"x\"\r\nCONTENT-TYPE: text/plain", Field{Name: "f", File: &File{Name: "x", Type: "text/plain", Data: []byte("1")}}},
		{"odd spaces", "Content-Disposition:form-data ;\tname = \"a\" \t; filename= x ", Field{Name: "a", File: &File{Name: "x", Data: []byte("1")}}},
		{"other headers and parameters", "Content-Length: 1\r\nContent-Disposition: form-data; x=\"; name=y\"; name=\"a\"\r\nContent-Transfer-Encoding: base64", Field{Name: "a", Value: "1"}},
		{"no name", "Content-Disposition: form-data", Field{Value: "1"}},
		{"another header only", "X: y", Field{Value: "1"}},
		{"a header much like a delimiter", "--Bx\r\n" + cd + `"a"`, Field{Name: "a", Value: "1"}},
	} {
		t.Run(test.about, func(t *testing.T) {
			body := "--B\r\n" + test.header + "\r\n\r\n1\r\n--B--\r\n"
			wantBody(t, Form{test.want}, scanOne(t, scanMultipartType, body))
		})
	}
}

func TestMultipartBody(t *testing.T) {
	const a = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n"
	value := func(v string) Form { return Form{{Name: "a", Value: v}} }
	for _, test := range []struct {
		about, body string
		want        Form
	}{
		{"no bytes", "", Form{}},
		{"empty FormData", "--B--\r\n", Form{}},
		{"closed by the end", "--B--", Form{}},
		{"cut in the last line break", "--B--\r", Form{}},
		{"empty FormData behind a line break", "\r\n--B--\r\n", Form{}},
		{"empty value", a + "\r\n--B--\r\n", value("")},
		{"nothing between header and delimiter", a + "--B--\r\n", value("")},
		{"line breaks only", a + "\r\n\r\n\n\r\n--B--\r\n", value("\r\n\r\n\n")},
		{"part of a delimiter", a + "--B\r--B\n--B--\r\n-\r\n--\r\n--C\r\n--B--\r\n", value("--B\r--B\n--B--\r\n-\r\n--\r\n--C")},
		{"delimiters with a bare line feed", a + "\r\n--B\n1\r\n--B--\r\n", value("\r\n--B\n1")},
		{"quote that closes in the value", "--B\r\nContent-Disposition: form-data; name=\"a\r\n\r\n1\"\r\n--B--\r\n", value("1\"")},
		{"longer boundaries", a + "\r\n--Bx\r\n--B-\r\n--B--x\r\n--B--\rx\r\n--B--\r\n", value("\r\n--Bx\r\n--B-\r\n--B--x\r\n--B--\rx")},
		{"any bytes", a + "\x00\xFF\x1A%00+&=\r\n--B--\r\n", value("\x00\xFF\x1A%00+&=")},
		{"order and duplicates", a + "2\r\n" + a + "1\r\n" + a + "2\r\n--B--\r\n", Form{{Name: "a", Value: "2"}, {Name: "a", Value: "1"}, {Name: "a", Value: "2"}}},
		{"blanks behind delimiters", "--B \t\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B-- \t\r\n", value("1")},
		{"no header", "--B\r\n\r\n1\r\n--B--\r\n", Form{{Value: "1"}}},
		{"nothing at all in a part", "--B\r\n\r\n\r\n--B--\r\n", Form{{}}},
		{"preamble and epilogue", "preamble --B\r\n" + a + "1\r\n--B--\r\n" + a + "2\r\n--B--\r\n", value("1")},
		{"preamble of a line break", "\r\n" + a + "1\r\n--B--", value("1")},
		{"bare line feeds", strings.ReplaceAll(a+"1\n2\r\n--B--\r\n", "\r\n", "\n"), value("1\n2")},
		{"bare line feeds around a CR", "--B\nContent-Disposition: form-data; name=a\n\n\r\n--B--\n", value("\r")},
		{"bare line feeds and a preamble", "preamble\n--B\nContent-Disposition: form-data; name=a\n\n1\n--B--\n", value("1")},
		{"preamble of a bare line feed", "\n" + a + "1\r\n--B--\r\n", value("1")},
	} {
		t.Run(test.about, func(t *testing.T) {
			wantBody(t, test.want, scanOne(t, scanMultipartType, test.body))
		})
	}
}

// TestMultipartBroken holds what must not become a form with a part missing.
func TestMultipartBroken(t *testing.T) {
	const a = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n"
	for _, test := range []struct{ about, contentType, body string }{
		{"no terminator", scanMultipartType, a},
		{"no terminator behind a part", scanMultipartType, a + a[:len(a)-2]},
		{"cut in the terminator", scanMultipartType, a + "--B-"},
		{"cut behind a delimiter", scanMultipartType, a + "--B\r\n"},
		{"cut in a header", scanMultipartType, a + "--B\r\nContent-Disposition: form-da"},
		{"no empty line", scanMultipartType, "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n--B--\r\n"},
		{"no empty line in the first of two parts", scanMultipartType, "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n" + a + "--B--\r\n"},
		{"text", scanMultipartType, "a=1"},
		{"another boundary", scanMultipartType, strings.ReplaceAll(a+"--B--\r\n", "--B", "--C")},
		{"only a longer boundary", scanMultipartType, "--Bx\r\n\r\n\r\n--Bx--\r\n"},
		{"a longer boundary until the end", scanMultipartType, "--Bx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B--\r\n"},
		{"no boundary at all", "multipart/form-data", "a=1\r\n"},
		{"no boundary in one line", "multipart/form-data", "--"},
		{"boundary of more than any sender's length", "multipart/form-data", strings.ReplaceAll(a+"--B--\r\n", "--B", "--"+strings.Repeat("B", 200))},
	} {
		t.Run(test.about, func(t *testing.T) {
			events, err := scan(test.contentType, test.body)
			if err == nil {
				t.Fatalf("decoded to %v", events[0].Body)
			}
			wantRefused(t, err, http.StatusBadRequest, ReasonMultipart)
		})
	}
}

func TestMultipartBoundary(t *testing.T) {
	form := func(boundary string) string {
		return fmt.Sprintf("--%[1]s\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--%[1]s--\r\n", boundary)
	}
	want := Form{{Name: "a", Value: "1"}}
	for _, test := range []struct{ contentType, boundary string }{
		{"multipart/form-data; boundary=----WebKitFormBoundaryTmAdoUlni2Uu1c8W", "----WebKitFormBoundaryTmAdoUlni2Uu1c8W"},
		{"multipart/form-data; boundary=----geckoformboundary27a8b0e8ff6ccf2e3d1e33ab2c18e37b", "----geckoformboundary27a8b0e8ff6ccf2e3d1e33ab2c18e37b"},
		{`multipart/form-data; boundary="B"`, "B"},
		{`multipart/form-data; boundary="a; b=c"`, "a; b=c"},
		{"multipart/form-data;boundary=B", "B"},
		{"Multipart/Form-Data; Boundary=B", "B"},
		{"multipart/form-data; boundary=B; charset=UTF-8", "B"},
		{`multipart/form-data; charset="; boundary=x" ;boundary=B ; y`, "B"},
		{"multipart/form-data; boundary=a/b:c=d", "a/b:c=d"},
		{"multipart/form-data ;;\tboundary=B", "B"},
	} {
		// A preamble, so that only the type tells.
		wantBody(t, want, scanOne(t, test.contentType, "\r\n"+form(test.boundary)))
		wantBody(t, want, scanOne(t, test.contentType, form(test.boundary)))
		wantBody(t, Form{}, scanOne(t, test.contentType, "--"+test.boundary+"--\r\n"))
	}
	// A Content-Type set by hand beside a FormData body.
	for _, contentType := range []string{
		"multipart/form-data", "multipart/form-data; charset=UTF-8", "multipart/form-data; boundary=", `multipart/form-data; boundary=""`,
	} {
		for _, boundary := range []string{"----WebKitFormBoundaryTmAdoUlni2Uu1c8W", "B", "B--", "-"} {
			wantBody(t, want, scanOne(t, contentType, form(boundary)))
			wantBody(t, Form{}, scanOne(t, contentType, "--"+boundary+"--\r\n"))
		}
	}
}

func TestURLEncodedBody(t *testing.T) {
	for _, test := range []struct {
		body string
		want Form
	}{
		{"", Form{}},
		{"a", Form{{Name: "a"}}},
		{"a=", Form{{Name: "a"}}},
		{"=x", Form{{Value: "x"}}},
		{"=", Form{{}}},
		{"&&", Form{}},
		{"&a=1&&b=2&", Form{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}}},
		{"b=1&a=2&b=1", Form{{Name: "b", Value: "1"}, {Name: "a", Value: "2"}, {Name: "b", Value: "1"}}},
		{"a==b=", Form{{Name: "a", Value: "=b="}}},
		{"a=1;b=2", Form{{Name: "a", Value: "1;b=2"}}},
		{"%zz=%4g", Form{{Name: "%zz", Value: "%4g"}}},
		{"%", Form{{Name: "%"}}},
		{"%4", Form{{Name: "%4"}}},
		{"a=%&b=%4&c=%%41", Form{{Name: "a", Value: "%"}, {Name: "b", Value: "%4"}, {Name: "c", Value: "%A"}}},
		{"a+b=1+%2B+2%20", Form{{Name: "a b", Value: "1 + 2 "}}},
		{"%41%3d%26=%c3%A9", Form{{Name: "A=&", Value: "é"}}},
		{"a=%EF%BB%BF%00", Form{{Name: "a", Value: "\uFEFF\x00"}}},
		{"x%0D%0Ay=%0A", Form{{Name: "x\r\ny", Value: "\n"}}},
		{"q=%E9%80&#26085;", Form{{Name: "q", Value: "\xE9\x80"}, {Name: "#26085;"}}}, // a page that forgot to escape
		{"q=%E9%80%26%2326085%3B", Form{{Name: "q", Value: "\xE9\x80&#26085;"}}},      // a windows-1252 page
		{"q=\xE9\x80\x00\n", Form{{Name: "q", Value: "\xE9\x80\x00\n"}}},
		{"a[]=1&a.b[0]=2", Form{{Name: "a[]", Value: "1"}, {Name: "a.b[0]", Value: "2"}}},
	} {
		for _, contentType := range []string{
			"application/x-www-form-urlencoded;charset=UTF-8", "application/x-www-form-urlencoded", "Application/X-WWW-Form-URLEncoded; x",
		} {
			wantBody(t, test.want, scanOne(t, contentType, test.body))
		}
	}
}

func TestMediaTypes(t *testing.T) {
	const object = ` {"a":1}` + "\n"
	const broken = `{"a":1`
	for _, test := range []struct {
		contentType, body string
		want              Body
		notes             []string
	}{
		{"", "", Empty{}, nil},
		{"", object, JSON(object), nil},
		{"", broken, Binary{Data: []byte(broken)}, nil},
		{"", "5", Binary{Data: []byte("5")}, nil},
		{"", "\x00\xFF", Binary{Data: []byte("\x00\xFF")}, nil},
		{";charset=UTF-8", object, JSON(object), nil},

		{"text/plain;charset=UTF-8", "", Empty{}, nil},
		{"text/plain;charset=UTF-8", " a\x00\xEF\xBF\xBD\r\n", Text(" a\x00\xEF\xBF\xBD\r\n"), nil},
		{"text/plain;charset=UTF-8", object, JSON(object), nil},
		{"text/plain;charset=UTF-8", "[]", JSON("[]"), nil},
		{"text/plain;charset=UTF-8", broken, Text(broken), nil},
		{"text/plain;charset=UTF-8", "{\"a\":\"\xE9\"}", Text("{\"a\":\"\xE9\"}"), nil},
		{"text/plain;charset=UTF-8", `"a"`, Text(`"a"`), nil},
		{"text/plain;charset=UTF-8", "null", Text("null"), nil},
		{`text/plain;charset="utf-8"`, "a", Text("a"), nil},
		{"TEXT/PLAIN;CHARSET=UTF-8", "a", Text("a"), nil},
		{" text/plain ", "a", Text("a"), nil},
		{`text/plain; =;;";/`, "a", Text("a"), nil},
		{"text/html;charset=UTF-8", "<p>", Text("<p>"), nil},
		{"text/ping", "PING", Text("PING"), nil}, // without Ping-To no ping

		{"application/json", object, JSON(object), nil},
		{"application/json", "", Empty{}, nil},
		{"application/json", " 5", JSON(" 5"), nil},
		{"application/json", "null", JSON("null"), nil},
		{"application/json", "\xEF\xBB\xBF{}", JSON("{}"), nil},
		{"application/json", broken, Binary{Type: "application/json", Data: []byte(broken)}, []string{"body"}},
		{"application/json", "{\"a\":\"\xE9\"}", Binary{Type: "application/json", Data: []byte("{\"a\":\"\xE9\"}")}, []string{"body"}},
		{"application/json", "{} {}", Binary{Type: "application/json", Data: []byte("{} {}")}, []string{"body"}},
		{"Application/JSON ; odd", "{}", JSON("{}"), nil},
		{"text/json", "{}", JSON("{}"), nil},
		{"application/ld+json", "{}", JSON("{}"), nil},
		{"application/vnd.a.b+JSON;v=1", "{}", JSON("{}"), nil},

		{"[object Object]", object, Binary{Type: "[object Object]", Data: []byte(object)}, nil},
		{"foo", "a", Binary{Type: "foo", Data: []byte("a")}, nil},
		{"text/", "a", Binary{Type: "text/", Data: []byte("a")}, nil},
		{"/a+json", "{}", Binary{Type: "/a+json", Data: []byte("{}")}, nil},
		{"a b/x+json", "{}", Binary{Type: "a b/x+json", Data: []byte("{}")}, nil},
		{"text/plain charset=x", "a", Binary{Type: "text/plain charset=x", Data: []byte("a")}, nil},
		{"image/x-test", object, Binary{Type: "image/x-test", Data: []byte(object)}, nil},
		{"image/x-test", "", Empty{}, nil},
		{"application/octet-stream", object, JSON(object), nil},
		{"application/octet-stream", "5", Binary{Type: "application/octet-stream", Data: []byte("5")}, nil},
		{"application/xml", "<a/>", Binary{Type: "application/xml", Data: []byte("<a/>")}, nil},
		{"multipart/mixed; boundary=B", "--B--", Binary{Type: "multipart/mixed; boundary=B", Data: []byte("--B--")}, nil},
	} {
		t.Run(test.contentType+" "+test.body, func(t *testing.T) {
			e := scanOne(t, test.contentType, test.body)
			wantBody(t, test.want, e)
			if diff := cmp.Diff(test.notes, notes(e)); diff != "" {
				t.Errorf("keys of errors (-want +got)\n%s", diff)
			}
			if e.Request.ContentType != test.contentType {
				t.Errorf("content type %q, want %q", e.Request.ContentType, test.contentType)
			}
		})
	}
}

func TestPing(t *testing.T) {
	for _, body := range []string{"PING", "", "longer than that"} {
		e := scanOne(t, "text/ping", body, "Ping-To", "https://b.example/", "Ping-From", "https://a.example/x#y")
		wantBody(t, Ping{From: "https://a.example/x#y", To: "https://b.example/"}, e)
		if e.Name != "ping" || e.Page != "https://a.example/x" {
			t.Errorf("name %q, page %q", e.Name, e.Page)
		}
	}
}

func TestReports(t *testing.T) {
	const contentType = "application/reports+json"
	type result struct {
		Name, Page string
		Body       Body
		Notes      []string
	}
	good := func(typ string) result {
		return result{typ, "https://a.example/", Report{
			Type: typ, URL: "https://a.example/", UserAgent: "UA", Age: 5 * time.Millisecond, Body: json.RawMessage(`{"x":1}`),
		}, nil}
	}
	text := func(typ string) string {
		return `{"age":5,"body":{"x":1},"type":"` + typ + `","url":"https://a.example/","user_agent":"UA"}`
	}
	binary := func(s string) result {
		return result{Body: Binary{Type: contentType, Data: []byte(s)}, Notes: []string{"body"}}
	}
	noted := func(s, key string) result { return result{Body: JSON(s), Notes: []string{key}} }
	for _, test := range []struct {
		about, body string
		want        []result
	}{
		{"array", "[" + text("a") + "," + text("b") + "]", []result{good("a"), good("b")}},
		{"white space", "\n[\n " + text("a") + "\t,\r\n" + text("b") + "\n]\n", []result{good("a"), good("b")}},
		{"single object", text("a"), []result{good("a")}},
		{"empty array", "[]", []result{{Body: JSON("[]")}}},
		{"no bytes", "", []result{{Body: Empty{}}}},
		{"broken item between good ones", "[" + text("a") + `,{"type":nope},` + text("b") + "]", []result{good("a"), binary(`{"type":nope}`), good("b")}},
		{"brackets in strings", "[" + text("]},{\\\"[") + "," + text("b") + "]", []result{good(`]},{"[`), good("b")}},
		{"scalars", "[" + text("a") + `,5,null,"x",` + text("b") + "]", []result{good("a"), noted("5", "body"), noted("null", "type"), noted(`"x"`, "body"), good("b")}},
		{"scalar alone", "5", []result{noted("5", "body")}},
		{"array in an array", "[[" + text("a") + "]]", []result{noted("["+text("a")+"]", "body")}},
		{"surplus commas", "[," + text("a") + ",,]", []result{good("a")}},
		{"cut in an item", "[" + text("a") + `,{"type":"b`, []result{good("a"), binary(`{"type":"b`)}},
		{"cut behind an item", "[" + text("a") + ",", []result{good("a")}},
		{"text behind the array", "[" + text("a") + "] x", []result{good("a"), binary("x")}},
		{"surplus bracket", "[}," + text("a") + "]", []result{binary("}"), good("a")}},
		{"not JSON", "x", []result{binary("x")}},
		{"only a bracket", "[", []result{binary("[")}},
		{"no type", `[{"age":5}]`, []result{noted(`{"age":5}`, "type")}},
		{"type that is none", `[{"type":5}]`, []result{{Body: JSON(`{"type":5}`), Notes: []string{"type", "type"}}}},
		{"members of other types", `[{"type":"a","url":{},"user_agent":[],"age":[],"body":"x"}]`, []result{
			{"a", "", Report{Type: "a", Body: json.RawMessage(`"x"`)}, []string{"url", "user_agent", "age"}},
		}},
		{"type only", `[{"type":"a"}]`, []result{{"a", "", Report{Type: "a"}, nil}}},
	} {
		t.Run(test.about, func(t *testing.T) {
			events, err := scan(contentType, test.body)
			if err != nil {
				t.Fatal(err)
			}
			var got []result
			for _, e := range events {
				got = append(got, result{e.Name, e.Page, e.Body, notes(e)})
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("events (-want +got)\n%s", diff)
			}
		})
	}
}

// TestReportPage checks that a report's page is the one it is about, and the
// Referer only where it does not say.
func TestReportPage(t *testing.T) {
	for body, want := range map[string]string{
		`[{"type":"a","url":"https://a.example/"}]`: "https://a.example/",
		`[{"type":"a"}]`: "https://b.example/",
	} {
		if e := scanOne(t, "application/reports+json", body, "Referer", "https://b.example/"); e.Page != want {
			t.Errorf("%s: page %q, want %q", body, e.Page, want)
		}
	}
}

// TestErrorsOfABatch checks that events of one request, which have the notes
// about its headers in common, keep their own apart.
func TestErrorsOfABatch(t *testing.T) {
	long := strings.Repeat("x", 10<<10)
	for contentType, body := range map[string]string{
		"application/x-ndjson":     "bad1\nbad2\n",
		"application/reports+json": "[bad1,bad2]",
		"application/csp-report":   `[[1],{"a":2}]`,
	} {
		events, err := scan(contentType, body, "Origin", long, "User-Agent", long, "Referer", long)
		if err != nil || len(events) != 2 {
			t.Fatalf("%s: %d events, %v", contentType, len(events), err)
		}
		want := []string{"header", "header", "header"}
		for i, e := range events {
			if got := notes(e); len(got) != 4 || !slices.Equal(got[:3], want) {
				t.Errorf("%s: event %d has notes on %v", contentType, i, got)
				continue
			}
			other := events[1-i]
			if len(other.Errors) == 4 && e.Errors[3] == other.Errors[3] {
				t.Errorf("%s: two events have the note %v", contentType, e.Errors[3])
			}
		}
	}
}

func TestReportAge(t *testing.T) {
	for _, test := range []struct {
		age  string
		want time.Duration
		ok   bool
	}{
		{"0", 0, true},
		{"5", 5 * time.Millisecond, true},
		{"1.5e3", 1500 * time.Millisecond, true},
		{"9007199254740991", 0, false},
		{"9000000000000", 9e18, true}, // 285 years
		{"1e300", 0, false},
		{"1e400", 0, false},
		{"-1", 0, false},
		{"-0", 0, true},
		{`"5"`, 0, false},
		{"{}", 0, false},
		{"null", 0, true},
	} {
		e := scanOne(t, "application/reports+json", `[{"type":"a","age":`+test.age+`}]`)
		if r, _ := e.Body.(Report); r.Type != "a" || r.Age != test.want || (len(e.Errors) == 0) != test.ok {
			t.Errorf("age %s: %+v, errors %v, want %v", test.age, r, e.Errors, test.want)
		}
	}
}

// TestCSPReports checks that a violation reads the same in every form in which
// browsers send it.
func TestCSPReports(t *testing.T) {
	const page = "https://a.example/p"
	const modern = `{"documentURL":"https://a.example/p","referrer":"","blockedURL":"inline","effectiveDirective":"img-src",` +
		`"originalPolicy":"img-src 'none'","sourceFile":"s.js","sample":"","disposition":"report","statusCode":200,"lineNumber":1,"columnNumber":83}`
	const legacy = `{"document-uri":"https://a.example/p","referrer":"","violated-directive":"img-src","effective-directive":"img-src",` +
		`"original-policy":"img-src 'none'","disposition":"report","blocked-uri":"inline","line-number":1,"column-number":83,` +
		`"source-file":"s.js","status-code":200,"script-sample":""}`
	for _, test := range []struct {
		about, contentType, body string
		want                     string // body
	}{
		{"reporting", "application/reports+json", `[{"age":0,"body":` + modern + `,"type":"csp-violation","url":"` + page + `"}]`, modern},
		{"report-uri", "application/csp-report", `{"csp-report":` + legacy + `}`, modern},
		{"report-uri of WebKit", "application/csp-report", `{"type":"csp-violation","url":"` + page + `","csp-report":` + legacy + `}`, modern},
		{"report-to of WebKit", "application/csp-report", `{"type":"csp-violation","url":"` + page + `","body":` + modern + `}`, modern},
		{"an array", "application/csp-report", `[{"type":"csp-violation","url":"` + page + `","body":` + modern + `}]`, modern},
		{"older directive only", "application/csp-report", `{"csp-report":{"document-uri":"` + page + `","violated-directive":"img-src 'none'"}}`,
			`{"documentURL":"` + page + `","effectiveDirective":"img-src 'none'"}`},
		{"two directives", "application/csp-report", `{"csp-report":{"document-uri":"` + page + `","violated-directive":"img-src 'none'","effective-directive":"img-src"}}`,
			`{"documentURL":"` + page + `","effectiveDirective":"img-src","violated-directive":"img-src 'none'"}`},
		{"unknown members", "application/csp-report", `{"csp-report":{"z":[1, 2],"a":"<","document-uri":"` + page + `"}}`,
			`{"documentURL":"` + page + `","a":"<","z":[1, 2]}`},
	} {
		t.Run(test.about, func(t *testing.T) {
			e := scanOne(t, test.contentType, test.body, "User-Agent", "UA")
			wantBody(t, Report{Type: "csp-violation", URL: page, UserAgent: "UA", Body: json.RawMessage(test.want)}, e)
			if e.Name != "csp-violation" || e.Page != page || e.Errors != nil {
				t.Errorf("name %q, page %q, errors %v", e.Name, e.Page, e.Errors)
			}
		})
	}
	for _, test := range []struct {
		body string
		want Body
		note string
	}{
		{`{"csp-report":null}`, JSON(`{"csp-report":null}`), "csp-report"},
		{`{"csp-report":[]}`, JSON(`{"csp-report":[]}`), "csp-report"},
		{`{}`, JSON(`{}`), "type"},
		{`5`, JSON(`5`), "body"},
		{`{"csp-report":{`, Binary{Type: "application/csp-report", Data: []byte(`{"csp-report":{`)}, "body"},
	} {
		e := scanOne(t, "application/csp-report", test.body)
		wantBody(t, test.want, e)
		if diff := cmp.Diff([]string{test.note}, notes(e)); diff != "" {
			t.Errorf("%s: keys of errors (-want +got)\n%s", test.body, diff)
		}
	}
}

func TestLines(t *testing.T) {
	const contentType = "application/x-ndjson"
	bad := func(s string) Body { return Binary{Type: contentType, Data: []byte(s)} }
	for _, test := range []struct {
		about, body string
		want        []Body
	}{
		{"plain", "{\"a\":1}\n[2]\n3\n", []Body{JSON(`{"a":1}`), JSON("[2]"), JSON("3")}},
		{"CRLF, and no line break at the end", "{}\r\nnull\r\n\"x\"", []Body{JSON("{}"), JSON("null"), JSON(`"x"`)}},
		{"blank lines", "\n\r\n {} \n\t\n\n[]\n\n", []Body{JSON("{}"), JSON("[]")}},
		{"lines of other blanks", "{}\n\v\n\f\u00a0\n[]", []Body{JSON("{}"), JSON("[]")}},
		{"bad lines", "{}\n{\"a\"\nx\n{}{}\n{}\n", []Body{JSON("{}"), bad(`{"a"`), bad("x"), bad("{}{}"), JSON("{}")}},
		{"only bad", "x", []Body{bad("x")}},
		{"only blank", " \n\r\n", []Body{Empty{}}},
		{"no bytes", "", []Body{Empty{}}},
	} {
		t.Run(test.about, func(t *testing.T) {
			events, err := scan(contentType, test.body)
			if err != nil {
				t.Fatal(err)
			}
			var got []Body
			for _, e := range events {
				got = append(got, e.Body)
				if _, isJSON := e.Body.(Binary); isJSON != (e.Errors != nil) {
					t.Errorf("%v has errors %v", e.Body, e.Errors)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("bodies (-want +got)\n%s", diff)
			}
		})
	}
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s)) // a Buffer takes everything
	_ = w.Close()
	return b.String()
}

func zlibbed(s string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func TestCodings(t *testing.T) {
	const object = `{"a":1}`
	gz, zl := gzipped(object), zlibbed(object)
	raw := zl[2 : len(zl)-4] // RFC 1950 is RFC 1951 in a frame
	broken := gz[:len(gz)-5] + "\xFF" + gz[len(gz)-4:]
	for _, test := range []struct {
		about, contentType, declared, body string
		want                               Body
		encoding                           string
	}{
		{"gzip", "application/json", "gzip", gz, JSON(object), "gzip"},
		{"gzip in capitals", "application/json", " GZIP ", gz, JSON(object), "gzip"},
		{"x-gzip", "application/json", "x-gzip", gz, JSON(object), "gzip"},
		{"gzip in two members", "text/plain", "gzip", gzipped("a") + gzipped("b"), Text("ab"), "gzip"},
		{"deflate", "application/json", "deflate", zl, JSON(object), "deflate"},
		{"deflate without its frame", "application/json", "deflate", raw, JSON(object), "deflate"},
		{"a form", "application/x-www-form-urlencoded", "gzip", gzipped("a=1"), Form{{Name: "a", Value: "1"}}, "gzip"},
		{"multipart", scanMultipartType, "deflate", zlibbed("--B--\r\n"), Form{}, "deflate"},
		{"nothing", "text/plain", "gzip", gzipped(""), Empty{}, "gzip"},
		{"identity", "application/json", "identity", object, JSON(object), ""},

		// Some proxy has undone it and left the header.
		{"gzip declared but plain", "application/json", "gzip", object, JSON(object), ""},
		{"deflate declared but plain", "application/json", "deflate", object, JSON(object), ""},
		// What is inside is the page's own.
		{"gzip in gzip", "image/x-test", "gzip", gzipped(gz), Binary{Type: "image/x-test", Data: []byte(gz)}, "gzip"},
		{"gzip in gzip, sniffed", "", "", gzipped(gz), Binary{Data: []byte(gz)}, "gzip"},
		{"unknown coding", "text/plain", "br", "\x0B\x03\x80", Binary{Type: "text/plain", Data: []byte("\x0B\x03\x80")}, "br"},
		{"two codings", "application/json", "gzip, gzip", gzipped(gz), Binary{Type: "application/json", Data: []byte(gzipped(gz))}, "gzip, gzip"},

		{"gzip sniffed without a type", "", "", gz, JSON(object), "gzip"},
		{"zlib sniffed without a type", "", "", zl, JSON(object), "deflate"},
		{"gzip sniffed in text", "text/plain", "", gz, JSON(object), "gzip"},
		{"gzip sniffed in JSON", "application/json", "", gz, JSON(object), "gzip"},
		{"gzip sniffed in its own type", "application/gzip", "", gz, JSON(object), "gzip"},
		{"gzip sniffed in octets", "application/octet-stream", "", gz, JSON(object), "gzip"},
		{"bare deflate is not looked for", "", "", raw, Binary{Data: []byte(raw)}, ""},
		{"a ping is left alone", "text/ping", "", gz, Text(gz), ""},
		{"an image is left alone", "image/x-test", "", gz, Binary{Type: "image/x-test", Data: []byte(gz)}, ""},
		{"broken gzip without a type", "", "", broken, Binary{Data: []byte(broken)}, ""},
		{"broken gzip in octets", "application/octet-stream", "", broken, Binary{Type: "application/octet-stream", Data: []byte(broken)}, ""},
		{"gzip with a tail without a type", "", "", gz + "x", Binary{Data: []byte(gz + "x")}, ""},
	} {
		t.Run(test.about, func(t *testing.T) {
			e := scanOne(t, test.contentType, test.body, "Content-Encoding", test.declared)
			wantBody(t, test.want, e)
			if e.Request.Encoding != test.encoding || e.Errors != nil {
				t.Errorf("encoding %q, want %q, errors %v", e.Request.Encoding, test.encoding, e.Errors)
			}
		})
	}
	// A multipart body starts with its boundary.
	if _, err := scan(scanMultipartType, gzipped("--B--\r\n")); err == nil {
		t.Error("compressed multipart body taken undeclared")
	}
	for _, coding := range []string{"gzip", "deflate", "br", "identity"} {
		wantBody(t, Empty{}, scanOne(t, "text/plain", "", "Content-Encoding", coding))
		wantBody(t, Form{}, scanOne(t, scanMultipartType, "", "Content-Encoding", coding))
	}
	for about, body := range map[string]string{
		"broken": broken, "cut": gz[:len(gz)-1], "tail": gz + "x", "header only": gz[:10] + "\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		if _, err := scan("application/json", body, "Content-Encoding", "gzip"); err == nil {
			t.Errorf("gzip: %s: taken", about)
		} else {
			wantRefused(t, err, http.StatusBadRequest, ReasonEncoding)
		}
	}
	for about, body := range map[string]string{"broken": zl[:len(zl)-1] + "\x00", "cut": zl[:len(zl)-1], "tail": zl + "x", "noise": "\x00\x01\x02\x03"} {
		if _, err := scan("application/json", body, "Content-Encoding", "deflate"); err == nil {
			t.Errorf("deflate: %s: taken", about)
		} else {
			wantRefused(t, err, http.StatusBadRequest, ReasonEncoding)
		}
	}
}

// TestInflateLimits walks along the cap, which is MaxDecoded or the ratio beyond
// 64 KiB, whichever is less.
func TestInflateLimits(t *testing.T) {
	for _, test := range []struct {
		size   int
		limits Limits
		ok     bool
	}{
		{1000, Limits{MaxDecoded: 1000}, true},
		{1001, Limits{MaxDecoded: 1000}, false},
		{64 << 10, Limits{MaxRatio: 1}, true},
		{64<<10 + 1, Limits{MaxRatio: 1}, false},
		{64<<10 + 1, Limits{MaxRatio: 1000}, true},
		{1 << 20, Limits{MaxRatio: 900}, false}, // zeros deflate to a thousandth
		{1 << 20, Limits{MaxRatio: 1100}, true},
		// Whether a product overflows to less depends on the compressed size.
		{1 << 20, Limits{MaxRatio: math.MaxInt}, true},
		{1<<20 - 1, Limits{MaxRatio: math.MaxInt}, true},
		{1<<20 - 300, Limits{MaxRatio: math.MaxInt}, true},
		{1<<20 - 1000, Limits{MaxRatio: math.MaxInt}, true},
		{1<<20 - 3000, Limits{MaxRatio: math.MaxInt}, true},
		{1 << 20, Limits{MaxDecoded: math.MaxInt64, MaxRatio: math.MaxInt}, true},
	} {
		for coding, body := range map[string]string{
			"gzip": gzipped(strings.Repeat("\x00", test.size)), "deflate": zlibbed(strings.Repeat("\x00", test.size)),
		} {
			h := http.Header{"Content-Encoding": {coding}}
			events, err := Decode(&http.Request{Header: h}, []byte(body), test.limits)
			if !test.ok {
				wantRefused(t, err, http.StatusRequestEntityTooLarge, ReasonTooInflated)
			} else if err != nil || len(events[0].Body.(Binary).Data) != test.size {
				t.Errorf("%s: %d bytes, %+v: %v", coding, test.size, test.limits, err)
			}
		}
	}
}

// TestBomb checks that a body which inflates to far more than its cap costs no
// more than the cap.
func TestBomb(t *testing.T) {
	mebi := gzipped(strings.Repeat("\x00", 1<<20))
	small, large := mebi, strings.Repeat(mebi, 512) // gzip members may follow each other
	for _, test := range []struct{ about, contentType, declared, body string }{
		{"1 KiB to 1 MiB", "text/plain", "gzip", small},
		{"512 KiB to 512 MiB", "text/plain", "gzip", large},
		{"sniffed", "", "", large},
		{"sniffed as a file", "application/gzip", "", large},
		{"zlib", "", "deflate", zlibbed(strings.Repeat("\x00", 1<<20))},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := scan(test.contentType, test.body, "Content-Encoding", test.declared)
		runtime.ReadMemStats(&after)
		wantRefused(t, err, http.StatusRequestEntityTooLarge, ReasonTooInflated)
		// Bytes written bound the time, too: nothing is inflated but into them.
		const maxDecoded = 4 << 20
		if n := after.TotalAlloc - before.TotalAlloc; n > 2*maxDecoded+1<<20 {
			t.Errorf("%s: %d bytes allocated for a cap of %d", test.about, n, maxDecoded)
		}
	}
}

func TestScanLimits(t *testing.T) {
	part := "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n"
	nested := func(n int) string { return strings.Repeat(`{"a":[`, n/2) + "1" + strings.Repeat("]}", n/2) }
	deep, deeper := nested(512), "["+nested(512)+"]"
	for _, test := range []struct {
		about, contentType, body string
		events, fields           int // fields of the first event
		reason                   string
	}{
		{"1,000 parts", scanMultipartType, strings.Repeat(part, 1000) + "--B--\r\n", 1, 1000, ""},
		{"1,001 parts", scanMultipartType, strings.Repeat(part, 1001) + "--B--\r\n", 0, 0, ReasonTooManyFields},
		{"20,000 parts", scanMultipartType, strings.Repeat(part, 20000) + "--B--\r\n", 0, 0, ReasonTooManyFields},
		{"1,000 pairs", "application/x-www-form-urlencoded", strings.Repeat("&&a=1", 1000), 1, 1000, ""},
		{"1,001 pairs", "application/x-www-form-urlencoded", strings.Repeat("a=1&", 1001), 0, 0, ReasonTooManyFields},
		{"1,000 lines", "application/x-ndjson", strings.Repeat("1\n\n", 1000), 1000, 0, ""},
		{"1,001 lines", "application/x-ndjson", strings.Repeat("1\n", 1001), 0, 0, ReasonTooManyEvents},
		{"1,000 reports", "application/reports+json", "[" + strings.Repeat("1,,", 1000) + "]", 1000, 0, ""},
		{"1,001 reports", "application/reports+json", "[" + strings.Repeat("1,", 1000) + "1]", 0, 0, ReasonTooManyEvents},
		{"depth 512", "application/json", deep, 1, 0, ""},
		{"depth 513", "application/json", deeper, 0, 0, ReasonTooDeep},
		{"depth 100,000", "application/json", strings.Repeat("[", 100_000), 0, 0, ReasonTooDeep},
	} {
		t.Run(test.about, func(t *testing.T) {
			events, err := scan(test.contentType, test.body)
			if test.reason != "" {
				wantRefused(t, err, http.StatusRequestEntityTooLarge, test.reason)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			form, _ := events[0].Body.(Form)
			if len(events) != test.events || len(form) != test.fields {
				t.Errorf("%d events, %d fields, want %d and %d", len(events), len(form), test.events, test.fields)
			}
		})
	}
	// What does not claim to be JSON is no worse for looking like it, and says so.
	for contentType, want := range map[string]Body{
		"text/plain": Text(deeper), "": Binary{Data: []byte(deeper)},
		"application/octet-stream": Binary{Type: "application/octet-stream", Data: []byte(deeper)},
	} {
		e := scanOne(t, contentType, deeper)
		wantBody(t, want, e)
		if diff := cmp.Diff([]FieldError{{Key: "body", Reason: "JSON nests deeper than 512"}}, e.Errors); diff != "" {
			t.Errorf("%s: notes (-want +got)\n%s", contentType, diff)
		}
		wantBody(t, JSON(deep), scanOne(t, contentType, deep))
	}
}
