package beacon_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

const (
	formDataType   = "multipart/form-data; boundary=" + beacontest.Boundary
	urlEncodedType = "application/x-www-form-urlencoded;charset=UTF-8"
)

// decode gives Decode what a request of this type, coding and query would.
func decode(contentType, encoding, query string, body []byte, lim beacon.Limits) ([]beacon.Event, error) {
	h := http.Header{"Ping-To": {"https://example.com/next"}} // for text/ping only
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	if encoding != "" {
		h.Set("Content-Encoding", encoding)
	}
	r := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/b", RawQuery: query}, Header: h}
	return beacon.Decode(r, body, lim)
}

func decodeForm(t *testing.T, contentType string, body []byte) (beacon.Form, beacon.Event) {
	t.Helper()
	events, err := decode(contentType, "", "", body, beacon.Limits{})
	if err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	form, ok := events[0].Body.(beacon.Form)
	if !ok || len(events) != 1 {
		t.Fatalf("%q: %d events, body %T", body, len(events), events[0].Body)
	}
	return form, events[0]
}

// refusals are the reasons that decoding alone may give, and their status.
var refusals = map[string]int{
	beacon.ReasonMultipart:     http.StatusBadRequest,
	beacon.ReasonEncoding:      http.StatusBadRequest,
	beacon.ReasonTooInflated:   http.StatusRequestEntityTooLarge,
	beacon.ReasonTooManyFields: http.StatusRequestEntityTooLarge,
	beacon.ReasonTooManyEvents: http.StatusRequestEntityTooLarge,
	beacon.ReasonTooDeep:       http.StatusRequestEntityTooLarge,
}

// checkRefusal fails unless err is one that Decode may return.
func checkRefusal(t *testing.T, err error) *beacon.RequestError {
	t.Helper()
	refused, ok := errors.AsType[*beacon.RequestError](err)
	if !ok {
		t.Fatalf("error is a %T: %v", err, err)
	}
	if status, ok := refusals[refused.Reason]; !ok || refused.Status != status {
		t.Fatalf("status %d with reason %q", refused.Status, refused.Reason)
	}
	return refused
}

// fuzzLimits are so small that short inputs reach them.
var fuzzLimits = beacon.Limits{MaxDecoded: 32 << 10, MaxRatio: 20, MaxFields: 16, MaxDepth: 6, MaxEvents: 8}

// FuzzDecode holds what is promised of any bytes of any type: a refusal of a
// known kind, or events within the limits that survive their JSON form.
func FuzzDecode(f *testing.F) {
	for _, pattern := range []string{"chromium/*-so.http", "firefox/beacon-fd-*.http", "webkit/*report*.http"} {
		files, err := filepath.Glob(filepath.Join("testdata/wire", pattern))
		if err != nil || len(files) == 0 {
			f.Fatalf("no captures %s: %v", pattern, err)
		}
		for _, file := range files {
			engine, name := filepath.Split(strings.TrimPrefix(filepath.ToSlash(file), "testdata/wire/"))
			r := rawRequest(f, engine, name, "")
			body, err := io.ReadAll(r.Body)
			if err != nil {
				f.Fatalf("%s: %v", file, err)
			}
			if len(body) <= 8<<10 { // a large fill says nothing more than a small one
				f.Add(r.Header.Get("Content-Type"), r.Header.Get("Content-Encoding"), body)
			}
		}
	}
	for _, seed := range []struct{ contentType, encoding, body string }{
		{"multipart/form-data", "", "--x\r\nContent-Disposition: form-data; name=\"a\\\"\r\n\r\n\x00\r\n--x--"},
		{"multipart/form-data; boundary=x", "", "--x\nContent-Disposition: form-data; name=a\n\n1\n--x--\n"},
		{`Multipart/Form-Data; charset=";"; BOUNDARY="x"`, "", "--x\r\n\r\n\r\n--x--"},
		{"multipart/form-data; boundary=x", "", "--x\r\ncontent-disposition: form-data; filename=\"%22%0D%0a\"; name=\"%\"\r\n\r\n"},
		{"multipart/form-data; boundary=x", "", strings.Repeat("--x\r\n\r\n\r\n", 20) + "--x--"},
		{urlEncodedType, "", "a=1;b&=&%zz&%&%4&+=%E9%80&a=2&&="},
		{urlEncodedType, "", strings.Repeat("&", 40) + strings.Repeat("&a", 20)},
		{"application/json", "", "\xEF\xBB\xBF"},
		{"application/json", "", "[[[[[[[1]]]]]]]"},
		{"application/vnd.x+json", "", `{"a":"<\u2028` + "\u2028" + `>","b":[null,1e400,"\ud800"]}` + "\n"},
		{"text/plain", "", " [1, 2 ]"},
		{"text/plain", "", `["` + "\xff" + `"]`},
		{"application/x-ndjson", "", "{}\r\n\nnull\nx\n[1,]\n\u00a0{}"},
		{"application/reports+json", "", `[{"type":"a","age":-1,"url":5,"body":{"b":[1]}}, 5,, {"type":"b","age":1e300},{"type`},
		{"application/reports+json", "", `{"type":"a","age":1.5,"body":null}`},
		{"application/reports+json", "", " [ ] x"},
		{"application/csp-report", "", `{"csp-report":{"document-uri":"https://a/","violated-directive":"style-src","x":"<"}}`},
		{"application/csp-report", "", `{"csp-report":null}`},
		{"application/csp-report", "", `[{"type":"csp-violation","body":{}}]`},
		{"application/json", "", `{"v":1,"m":"append","k":"a","sid":"s","pv":"p","via":"now","at":1700000000000,"page":"https://a/","gpc":1,"ev":[{"n":1,"t":1.5,"e":"x","d":{"a":1}},{"n":2}]}`},
		{"text/plain", "", `{"v":1,"m":"replace","k":"a","via":"bye","at":8e15,"ev":[{"n":9007199254740992,"t":8.64e15,"d":null},5,{"n":0}]}`},
		{"", "", `{"v":1,"m":"append","k":"","ev":[{"n":1}]}`},
		{"", "", `{"v":1,"m":"append","k":"a","ev":[1,1,1,1,1,1,1,1,1]}`},
		{"text/ping", "", "PING"},
		{"[object Object]", "", "x"},
		{"", "deflate", "PING"},
		{"", "gzip, br", "{}"},
		{"application/octet-stream", "", string(compress("gzip", []byte(`{"a":1}`)))},
		{"application/json", "gzip", string(compress("gzip", compress("gzip", []byte(`{"a":1}`))))},
		{"", "", string(compress("zlib", make([]byte, 100<<10)))},
		{"", "deflate", string(compress("deflate", []byte("a=1")))},
	} {
		f.Add(seed.contentType, seed.encoding, []byte(seed.body))
	}
	f.Fuzz(func(t *testing.T, contentType, encoding string, body []byte) {
		original := bytes.Clone(body)
		events, err := decode(contentType, encoding, "", body, fuzzLimits)
		if !bytes.Equal(body, original) {
			t.Fatalf("Decode changed the body to %q", body)
		}
		again, errAgain := decode(contentType, encoding, "", original, fuzzLimits)
		if err != nil {
			refused := checkRefusal(t, err)
			if errAgain == nil || errAgain.Error() != refused.Error() {
				t.Errorf("refused with %v, then with %v", refused, errAgain)
			}
			return
		}
		if diff := cmp.Diff(events, again, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("decoded twice (-first +second)\n%s", diff)
		}
		if len(events) == 0 || len(events) > fuzzLimits.MaxEvents {
			t.Fatalf("%d events", len(events))
		}
		size := 0
		for _, e := range events {
			size += checkBody(t, e.Body)
			roundTrip(t, e)
			roundTripNested(t, e)
		}
		// Nothing is made larger but by inflating it, and that has its cap.
		limit := len(body)
		if events[0].Request.Encoding != "" {
			limit = max(limit, int(inflatedCap(len(body), fuzzLimits)))
		}
		if size > limit {
			t.Errorf("%d bytes of body became %d, cap %d", len(body), size, limit)
		}
	})
}

// inflatedCap is what Limits promise of the decompressed size of n bytes.
func inflatedCap(n int, lim beacon.Limits) int64 {
	return min(lim.MaxDecoded, max(64<<10, int64(n*lim.MaxRatio)))
}

// checkBody checks a body against fuzzLimits and returns its size. A report
// counts as nothing: it holds its URL twice.
func checkBody(t *testing.T, b beacon.Body) (size int) {
	t.Helper()
	switch b := b.(type) {
	case beacon.Empty, beacon.Ping:
	case beacon.Text:
		size = len(b)
	case beacon.Binary:
		size = len(b.Data)
	case beacon.JSON:
		size = len(b)
		checkJSONText(t, b)
	case beacon.Report:
		if b.Age < 0 {
			t.Errorf("age %v", b.Age)
		}
		if b.Body != nil {
			checkJSONText(t, b.Body)
		}
	case beacon.Form:
		if len(b) > fuzzLimits.MaxFields {
			t.Errorf("%d fields", len(b))
		}
		for _, f := range b {
			size += len(f.Name) + len(f.Value)
			if f.File != nil {
				size += len(f.File.Name) + len(f.File.Type) + len(f.File.Data)
			}
		}
	default:
		t.Fatalf("body is %T", b)
	}
	return size
}

func checkJSONText(t *testing.T, b []byte) {
	t.Helper()
	if !json.Valid(b) || !utf8.Valid(b) {
		t.Fatalf("not JSON: %q", b)
	}
	if d := jsonDepth(b); d > fuzzLimits.MaxDepth {
		t.Errorf("nests %d deep: %s", d, b)
	}
}

// jsonDepth is how deep the arrays and objects of a valid JSON text nest.
func jsonDepth(b []byte) (deepest int) {
	dec, depth := json.NewDecoder(bytes.NewReader(b)), 0
	dec.UseNumber() // 1e400 is JSON, though no float64
	for {
		switch token, err := dec.Token(); {
		case err != nil:
			return deepest
		case token == json.Delim('[') || token == json.Delim('{'):
			depth++
			deepest = max(deepest, depth)
		case token == json.Delim(']') || token == json.Delim('}'):
			depth--
		}
	}
}

// roundTripNested checks that an event survives inside something else, with the
// white space and without the escaping that other encoders choose.
func roundTripNested(t *testing.T, e beacon.Event) {
	t.Helper()
	type envelope struct {
		Events []beacon.Event `json:"events"`
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent(" ", "\t")
	if err := enc.Encode(envelope{Events: []beacon.Event{e}}); err != nil {
		t.Fatal(err)
	}
	if !utf8.Valid(b.Bytes()) {
		t.Errorf("JSON form is not UTF-8: %q", b.Bytes())
	}
	var back envelope
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatalf("%s: %v", b.Bytes(), err)
	}
	if diff := cmp.Diff([]beacon.Event{e}, back.Events, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("event changed in an envelope (-want +got)\n%s\n%s", diff, b.Bytes())
	}
}

// multipartSeeds have the boundary "B": mutations leave a short one alone.
var multipartSeeds = []struct {
	body string
	std  bool // mime/multipart reads it, and has a form for all of it
}{
	{"--B--\r\n", true},
	{"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B--\r\n", true},
	{"--B\r\nContent-Disposition: form-data; name=\"\"\r\n\r\n\r\n--B--", true},
	{"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n\r\n--B--\r\n", true},
	{"--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\nContent-Type: text/plain\r\n\r\nhi\r\n--B--\r\n", true},
	{"--B\r\nContent-Type: text/plain\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\n\r\n--B--\r\n", true},
	{"--B\r\ncontent-disposition:form-data ;FILENAME = x ; name=a\r\ncontent-length: 1\r\n\r\n1\r\n--B--\r\n", true},
	{"--B\r\nContent-Disposition: form-data; x=\"; name=y\"; name=\"a;b\"\r\n\r\n1\r\n--B--\r\n", true},
	{"--B\r\nContent-Disposition: form-data; name=\"é日\"; filename=\"😀\"\r\n\r\n\xff\r\n--B--\r\n", true},
	{"--B \t\r\nContent-Disposition: form-data; name=\"a\";\r\n\r\n--B-\r\n--Bx\r\nx--B\r\n--B-- \r\nepilogue\r\n--B", true},
	{"--B\nContent-Disposition: form-data; name=\"a\"\n\n1\r\n--B\nContent-Disposition: form-data; name=\"b\"\n\n\n--B--\n", true},
	{"preamble\r\n--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B--\r\n", true},
	{"preamble\n--B\nContent-Disposition: form-data; name=\"a\"\n\n1\n--B--\n", true},
	{"\n--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B--\r\n", true},
	{"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\n--B\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n\r\n--B--", true},

	{"", false},
	{"--B\r\n", false},
	{"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1", false},
	{"--B\r\nContent-Disposition:", false},
	{"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n--B--\r\n", false},
	{"--B\r\nContent-Disposition: form-data; name=\"a\x00\"\r\n\r\n1\r\n--B--\r\n", false},
	{"--B\r\nContent-Disposition: form-data; name=\"a\\\"\r\n\r\n1\r\n--B--\r\n", false},
	{"--B\r\nContent-Disposition: form-data; name=\"%22\"\r\n\r\n1\r\n--B--\r\n", false},
	{"--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"\"\r\nContent-Type: application/octet-stream\r\n\r\n\r\n--B--\r\n", false},
	{"--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"C:\\dir\\x\"\r\n\r\n\r\n--B--\r\n", false},
	{"--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"../x\"\r\n\r\n\r\n--B--\r\n", false},
	{"--B\r\n\r\n1\r\n--B--\r\n", false},
}

// stdlibForm reads a body with mime/multipart. ok is false where it cannot, or
// where it reads something else on purpose: it drops control bytes, backslashes,
// directories and files without a name, leaves %22 encoded, and knows of folded
// lines, RFC 2231 and several dispositions, none of which a browser writes.
func stdlibForm(body []byte, boundary string) (form beacon.Form, ok bool) {
	if bytes.Contains(body, []byte("\n ")) || bytes.Contains(body, []byte("\n\t")) {
		return nil, false
	}
	// It takes a body that ends inside a header for complete: with the header
	// finished, it misses the rest.
	if !strings.HasSuffix("\n"+string(body), "\n--"+boundary+"--") {
		body = append(body[:len(body):len(body)], "\n\n"...)
	}
	parts := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			// A form that closes before it opens is empty only if nothing was
			// lost before.
			line, _, _ := strings.Cut(string(body), "\n")
			return form, len(form) > 0 || strings.TrimRight(line, " \t\r") == "--"+boundary+"--"
		}
		if err != nil {
			return nil, false
		}
		disposition, types := p.Header["Content-Disposition"], p.Header["Content-Type"]
		if len(disposition) != 1 || len(types) > 1 || strings.ContainsFunc(disposition[0], func(c rune) bool {
			return c < ' ' || c == 0x7F || c == '\\' || c == '%' || c == '/' || c == '*'
		}) {
			return nil, false
		}
		kind, params, err := mime.ParseMediaType(disposition[0])
		file, isFile := params["filename"]
		if err != nil || kind != "form-data" || isFile && file == "" {
			return nil, false
		}
		data, err := io.ReadAll(p)
		if err != nil {
			return nil, false
		}
		if isFile {
			form = append(form, beacon.Field{Name: p.FormName(), File: &beacon.File{
				Name: p.FileName(), Type: p.Header.Get("Content-Type"), Data: data,
			}})
		} else {
			form = append(form, beacon.Field{Name: p.FormName(), Value: string(data)})
		}
	}
}

// agreesWithStdlib compares a multipart body with what mime/multipart reads, and
// says whether it could.
func agreesWithStdlib(t *testing.T, body []byte, boundary string) bool {
	t.Helper()
	want, ok := stdlibForm(body, boundary)
	if !ok {
		return false
	}
	got, _ := decodeForm(t, "multipart/form-data; boundary="+boundary, body)
	got = append(beacon.Form(nil), got...)
	for i := range got {
		if file := got[i].File; file != nil { // textproto trims, a Blob's type may be " x"
			got[i].File = &beacon.File{Name: file.Name, Type: strings.Trim(file.Type, " \t"), Data: file.Data}
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%q (-mime/multipart +beacon)\n%s", body, diff)
	}
	return true
}

// representable is what mime/multipart leaves alone of a name.
func representable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7F || strings.ContainsRune(`"\%/*`, c) {
			return -1
		}
		return c
	}, s)
}

// TestMultipartStdlib makes sure that the comparison in FuzzMultipart is one.
func TestMultipartStdlib(t *testing.T) {
	for _, seed := range multipartSeeds {
		if got := agreesWithStdlib(t, []byte(seed.body), "B"); got != seed.std {
			t.Errorf("%q: compared %t, want %t", seed.body, got, seed.std)
		}
	}
}

// FuzzMultipart checks that every entry list comes back from its body, and that
// any body reads as mime/multipart reads it, as far as that goes.
func FuzzMultipart(f *testing.F) {
	for i, list := range [][5]string{
		{"a", "1", "x.txt", "text/plain", "data"},
		{"", "", "", "", ""},
		{"na\"me\r\n", "li\r\nne\r\n", "dir/a\\b\"\n.txt", "x", "\r\n--" + beacontest.Boundary[1:] + "--\r\n"},
		{"\x00\\", "\r\n-", `C:\`, " a b ", "\r\n--\r\n\r\n"},
		{`\\`, "--", `"; filename="`, ";", "\r"},
		{"%2%0%", "%22", "%41", "%22", "\n"},
		{"é日😀", "\xe9\x80", "\xff", "\xff", "\xff\x00"},
	} {
		f.Add([]byte(multipartSeeds[i].body), list[0], list[1], list[2], list[3], []byte(list[4]))
	}
	for _, seed := range multipartSeeds {
		f.Add([]byte(seed.body), "", "", "", "", []byte(nil))
	}
	f.Fuzz(func(t *testing.T, body []byte, name, value, fileName, fileType string, data []byte) {
		agreesWithStdlib(t, body, "B")

		list := beacon.Form{
			{Name: name, Value: value},
			{Name: name, File: &beacon.File{Name: fileName, Type: fileType, Data: data}},
			{Name: fileName, Value: string(data)},
			{Name: value, Value: ""},
			{Name: value, File: &beacon.File{Name: "", Type: fileType}},
		}
		for _, s := range []string{name, value, fileName} {
			if ambiguous.Replace(s) != s {
				return // cannot be told from its own escaped form
			}
		}
		if strings.ContainsAny(fileType, "\r\n") { // no Blob has such a type
			return
		}
		for _, s := range []string{value, string(data)} {
			if strings.Contains(s, beacontest.Boundary) { // browsers make a boundary that is not in there
				return
			}
		}
		encoded := beacontest.FormData(list, beacontest.Boundary)
		got, _ := decodeForm(t, formDataType, encoded)
		for _, i := range []int{1, 4} {
			if list[i].File.Type == "" {
				list[i].File.Type = "application/octet-stream"
			}
		}
		if diff := cmp.Diff(list, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("entry list (-want +got)\n%s\n%q", diff, encoded)
		}
		unlabelled, _ := decodeForm(t, "multipart/form-data", encoded)
		if diff := cmp.Diff(got, unlabelled); diff != "" {
			t.Errorf("without its boundary in the type (-with +without)\n%s", diff)
		}

		for i, f := range list {
			list[i].Name = representable(f.Name)
			if f.File != nil {
				f.File.Name, f.File.Type = "x"+representable(f.File.Name), representable(f.File.Type)
			}
		}
		encoded = beacontest.FormData(list, beacontest.Boundary)
		if !agreesWithStdlib(t, encoded, beacontest.Boundary) && !bytes.Contains(encoded, []byte("\n ")) && !bytes.Contains(encoded, []byte("\n\t")) {
			t.Errorf("mime/multipart does not read %q", encoded)
		}
	})
}

var urlEncodedSeeds = []string{
	"", "a", "a=1", "=x", "=", "&&", "&a=1&&b=2&", "a=1&a=2&a", "a==b=c",
	"a=1;b=2", "%zz", "%", "%4", "%%41", "%4%31", "a%3D=%26&%2B=+", "+", "%E9=%80", "\xe9=\x80", "q=%e9%80&%41=%61",
	"caf%C3%A9=%F0%9F%98%80", "a=%00\x00", "a\r\n=b\r\n", "[]=1&a[b]=2&a.b=3", "#?/=%23",
}

// referenceURLEncoded is the application/x-www-form-urlencoded parser of the URL
// standard, §5.1, word for word but for the last step: names and values stay
// bytes.
func referenceURLEncoded(input string) beacon.Form {
	output := beacon.Form{}
	for sequence := range strings.SplitSeq(input, "&") {
		if sequence == "" {
			continue
		}
		name, value, _ := strings.Cut(sequence, "=")
		name, value = strings.ReplaceAll(name, "+", " "), strings.ReplaceAll(value, "+", " ")
		output = append(output, beacon.Field{Name: percentDecode(name), Value: percentDecode(value)})
	}
	return output
}

// percentDecode is the URL standard's, §1.3.
func percentDecode(input string) string {
	var output []byte
	for i := 0; i < len(input); i++ {
		if input[i] == '%' && i+2 < len(input) {
			if b, err := strconv.ParseUint(input[i+1:i+3], 16, 8); err == nil {
				output = append(output, byte(b))
				i += 2
				continue
			}
		}
		output = append(output, input[i])
	}
	return string(output)
}

// agreesWithParseQuery compares an entry list with what net/url makes of it, and
// says whether it could.
func agreesWithParseQuery(t *testing.T, input string, got beacon.Form) bool {
	t.Helper()
	want, err := url.ParseQuery(input)
	if err != nil {
		return false
	}
	byName := url.Values{}
	for _, f := range got {
		byName[f.Name] = append(byName[f.Name], f.Value)
	}
	if diff := cmp.Diff(want, byName); diff != "" {
		t.Errorf("%q (-net/url +beacon)\n%s", input, diff)
	}
	return true
}

// TestURLEncodedStdlib makes sure that the comparison in FuzzURLEncoded is one.
func TestURLEncodedStdlib(t *testing.T) {
	compared := 0
	for _, input := range urlEncodedSeeds {
		got, _ := decodeForm(t, urlEncodedType, []byte(input))
		if agreesWithParseQuery(t, input, got) {
			compared++
		}
	}
	if compared < len(urlEncodedSeeds)/2 {
		t.Errorf("compared %d of %d inputs", compared, len(urlEncodedSeeds))
	}
}

// FuzzURLEncoded checks that every entry list comes back from its body, and that
// any string reads as the URL standard and, as far as that goes, net/url say, in
// a body and in a query alike.
func FuzzURLEncoded(f *testing.F) {
	for _, input := range urlEncodedSeeds {
		f.Add(input, "a", "1 +&=%;", "", "\xff\x00é")
	}
	f.Fuzz(func(t *testing.T, input, name1, value1, name2, value2 string) {
		list := beacon.Form{
			{Name: name1, Value: value1}, {Name: name2, Value: value2}, {Name: name1, Value: value2}, {},
		}
		encoded := beacontest.URLEncoded(list)
		got, _ := decodeForm(t, urlEncodedType, []byte(encoded))
		if diff := cmp.Diff(list, got); diff != "" {
			t.Errorf("%q (-want +got)\n%s", encoded, diff)
		}
		if !agreesWithParseQuery(t, encoded, got) {
			t.Errorf("net/url does not read %q", encoded)
		}

		want := referenceURLEncoded(input)
		if len(want) > 1000 {
			return
		}
		events, err := decode("", "", input, nil, beacon.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, events[0].Query, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("query %q (-want +got)\n%s", input, diff)
		}
		agreesWithParseQuery(t, input, events[0].Query)
		posted, e := decodeForm(t, urlEncodedType, []byte(input))
		if e.Request.Encoding != "" {
			return // taken for a compressed body, which no urlencoded one looks like
		}
		if diff := cmp.Diff(events[0].Query, posted, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q (-query +body)\n%s", input, diff)
		}
	})
}

// compress returns data in one of the three formats.
func compress(format string, data []byte) []byte {
	var b bytes.Buffer
	var w io.WriteCloser
	switch format {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zlib":
		w = zlib.NewWriter(&b)
	case "deflate":
		w, _ = flate.NewWriter(&b, flate.BestCompression) // the level is valid
	}
	_, _ = w.Write(data) // a Buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

// decompress returns what the stream holds in one of the formats, and whether it
// is whole and nothing is behind it.
func decompress(format string, data []byte) ([]byte, bool) {
	src := bytes.NewReader(data)
	var r io.Reader
	var err error
	switch format {
	case "gzip":
		r, err = gzip.NewReader(src)
	case "zlib":
		r, err = zlib.NewReader(src)
	case "deflate":
		r = flate.NewReader(src)
	}
	if err != nil {
		return nil, false
	}
	plain, err := io.ReadAll(r)
	return plain, err == nil && src.Len() == 0
}

// FuzzInflate checks that what was compressed comes back whole or is refused for
// its size, and that a damaged stream is never half decoded.
func FuzzInflate(f *testing.F) {
	f.Add([]byte(`{"a":1}`), uint16(1), uint16(0), byte(0))
	f.Add([]byte(nil), uint16(0), uint16(3), byte(1))
	f.Add([]byte("0123456789abcdef"), uint16(5000), uint16(12), byte(0xFF))
	f.Add([]byte("a\x00"), uint16(0xFFFF), uint16(20), byte(0x80))
	f.Add(compress("gzip", []byte("twice")), uint16(1), uint16(1), byte(4))
	f.Add([]byte("\r\n\t plain"), uint16(3), uint16(0xFFFF), byte(0x20))
	f.Fuzz(func(t *testing.T, data []byte, times, at uint16, flip byte) {
		lim := beacon.Limits{MaxDecoded: 128 << 10, MaxRatio: 50}
		plain := bytes.Repeat(data, min(int(times), 200<<10/max(1, len(data))))
		for _, format := range []string{"gzip", "zlib", "deflate"} {
			body := compress(format, plain)
			body[int(at)%len(body)] ^= flip
			coding := format
			if format == "zlib" {
				coding = "deflate" // RFC 9110 §8.4.1.2
			}
			checkDeclared(t, coding, body, lim)
			checkSniffed(t, body, lim) // the bare stream has nothing to be known by
			if got, ok := decompress(format, body); flip == 0 && (!ok || !bytes.Equal(got, plain)) {
				t.Fatalf("%s: the test's own decompressor gives %q", format, got)
			}
		}
	})
}

// checkDeclared sends body under a Content-Encoding, and a type that nothing is
// looked for in.
func checkDeclared(t *testing.T, coding string, body []byte, lim beacon.Limits) {
	t.Helper()
	formats := []string{"zlib", "deflate"}
	looksCompressed := !isText(body)
	if coding == "gzip" {
		formats = []string{"gzip"}
		looksCompressed = bytes.HasPrefix(body, []byte("\x1f\x8b\x08"))
	}
	want := inflated(formats, body, lim)
	switch {
	case want.format != "":
		want.format = coding
	case want.reason == "" && looksCompressed:
		want.reason = beacon.ReasonEncoding
	}
	events, err := decode("image/x-test", coding, "", body, lim)
	checkInflated(t, want, events, err)
}

// isText says whether body could be text that a proxy has decompressed.
func isText(body []byte) bool {
	return !bytes.ContainsFunc(body, func(c rune) bool { return c < ' ' && !strings.ContainsRune("\t\r\n", c) })
}

// checkSniffed sends body without a type, as apps do to spare the preflight.
func checkSniffed(t *testing.T, body []byte, lim beacon.Limits) {
	t.Helper()
	want := inflated([]string{"gzip", "zlib"}, body, lim)
	if want.format == "zlib" {
		want.format = "deflate" // RFC 9110 §8.4.1.2
	}
	events, err := decode("", "", "", body, lim)
	checkInflated(t, want, events, err)
}

// An inflation is what should come of a compressed body: plain under the name of
// a format, plain as it was without one, or a refusal.
type inflation struct {
	plain          []byte
	format, reason string
}

// inflated tries the formats in turn. A damaged stream may pass the cap before
// it breaks, and is too large then.
func inflated(formats []string, body []byte, lim beacon.Limits) inflation {
	for _, format := range formats {
		plain, valid := decompress(format, body)
		switch {
		case int64(len(plain)) > inflatedCap(len(body), lim):
			return inflation{reason: beacon.ReasonTooInflated}
		case valid:
			return inflation{plain: plain, format: format}
		}
	}
	return inflation{plain: body}
}

func checkInflated(t *testing.T, want inflation, events []beacon.Event, err error) {
	t.Helper()
	if err != nil {
		if got := checkRefusal(t, err).Reason; got != want.reason {
			t.Errorf("refused for %q, want %q", got, want.reason)
		}
		return
	}
	if want.reason != "" {
		t.Errorf("body taken as %v, want it refused for %q", events[0].Body, want.reason)
		return
	}
	got, _ := bodyBytes(t, events[0].Body)
	if !bytes.Equal(got, want.plain) || len(events) != 1 {
		t.Errorf("%d events, the first with %q, want %q", len(events), got, want.plain)
	}
	if e := events[0].Request.Encoding; e != want.format {
		t.Errorf("encoding %q, want %q", e, want.format)
	}
}

// Everything is a struct with a field of each kind that Bind knows, and of some
// that only JSON can fill.
type Everything struct {
	Base // promoted
	*More

	S   string `schema:"s"`
	I   int    `schema:"i"`
	I8  int8
	U   uint16
	F   float64 `schema:"f"`
	F32 float32
	B   bool          `schema:"b"`
	D   time.Duration `schema:"d"`
	T   time.Time     `schema:"t"`
	IP  netip.Addr    `schema:"ip"`

	Ss []string        `schema:"ss"`
	Is []int           `schema:"is"`
	Fs []float64       `schema:"fs"`
	Bs []bool          `schema:"bs"`
	Ds []time.Duration `schema:"ds"`
	Bb []byte          `schema:"bb"`

	PS *string        `schema:"ps"`
	PI *int64         `schema:"pi"`
	PF *float32       `schema:"pf"`
	PD *time.Duration `schema:"pd"`
	PT *time.Time     `schema:"pt"`

	CF  float64 `schema:"c_f"` // Boomerang's c.f beside its c.f.d
	CFD string  `schema:"c_f_d"`

	Sub struct {
		X float64
		Y []string `schema:"y"`
		Z *Node    `schema:"z"`
	} `schema:"sub"`

	In  []Base         `schema:"in" json:"in"`
	M   map[string]int `schema:"m" json:"m"`
	Any any            `schema:"any" json:"any"`

	File  *beacon.File   `schema:"file" json:"-"`
	Files []*beacon.File `schema:"files" json:"-"`
}

type Base struct {
	A string
	G float64 `schema:"g"`
}

type More struct {
	H *float64 `schema:"h"`
}

// Node is as deep as the path of a key.
type Node struct {
	V    float64
	Next *Node `schema:"next"`
}

// FuzzBind binds any query, and any JSON, to a struct of all kinds of fields.
func FuzzBind(f *testing.F) {
	for _, query := range []string{
		"in.-1.a=x", "in.16000.a=x", "in.0.A=x&in=y&In[0]=1&Sub=1&sub.z=1&sub.z.next.next.next.v=1&sub.z.next.V=-Inf",
		"f=NaN&F32=Infinity&fs=1&fs=nan&pf=-inf&g=1e400&h=+Inf&fs=1,NaN&pf=1e39&sub.x=NaN&sub_x=0x1p-2",
		"d=5&ds=1.5&ds=2s&pd=1e300&d=9&ds=", "t=1700000000000&pt=2026-01-02T03:04:05Z&t=x",
		"c.f=1&c.f.d=2", "c.f=2&c_f=1&C.F=3", "s=a&s=b&S=c&ss=&ss=a,b&ss", "i=1.5&i=7&I8=128&U=-1&is=1,2&is=3",
		"b=on&b=off&bs=1&bs=&b", "ip=::1&ip=x", "A=1&a=2&Base.A=3&base.a=4&G=5&More.H=6", "file=x&files=y&file.Name=/etc/passwd",
		strings.Repeat("a.b=1&", 900), strings.Repeat("is=1&", 900), strings.Repeat("sub.z.next.", 300) + "v=1",
		"m.a=1&any=2&M[a]=1&bb=1&bb=256", `{"in":[{"A":"x"}],"f":1e400,"s":5,"d":1.5,"t":"x"}`, `{"I8":300,"Sub":{"Z":{"V":1}},"any":[1e999]}`,
	} {
		f.Add(query, "file")
	}
	f.Fuzz(func(t *testing.T, query, fileKey string) {
		events, err := decode("", "", query, nil, beacon.Limits{})
		if err != nil {
			return
		}
		byQuery := events[0]
		v := checkBind(t, byQuery)
		checkFirst(t, byQuery, v)

		byForm := byQuery
		file := &beacon.File{Name: query, Data: []byte(query)}
		byForm.Body = append(byQuery.Query[:len(byQuery.Query):len(byQuery.Query)],
			beacon.Field{Name: fileKey, File: file}, beacon.Field{Name: fileKey, File: file})
		v = checkBind(t, byForm)
		if fileKey == "file" && byQuery.Query.Get("file") == "" && v.File == nil && !hasSpelling(byQuery.Query, "file") {
			t.Errorf("file not bound")
		}

		if json.Valid([]byte(query)) {
			checkBind(t, beacon.Event{Body: beacon.JSON(query)})
			checkBind(t, beacon.Event{Body: beacon.Report{Body: json.RawMessage(query)}})
		}
	})
}

// hasSpelling says whether a key of the form could be meant for name.
func hasSpelling(form beacon.Form, name string) bool {
	for _, f := range form {
		if strings.EqualFold(f.Name, name) {
			return true
		}
	}
	return false
}

// checkBind binds e twice and checks what holds for any event.
func checkBind(t *testing.T, e beacon.Event) Everything {
	t.Helper()
	var v, again Everything
	err := e.Bind(&v)
	errAgain := e.Bind(&again)
	if err != nil {
		checkFieldErrors(t, err)
	}
	if (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error() {
		t.Errorf("bound with %v, then with %v", err, errAgain)
	}
	if diff := cmp.Diff(v, again, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateNaNs()); diff != "" {
		t.Errorf("bound twice (-first +second)\n%s", diff)
	}
	if path := nonFinite(reflect.ValueOf(v), "v"); path != "" {
		t.Errorf("%s is not finite: %+v", path, v)
	}
	if _, ok := e.Body.(beacon.Empty); ok && (v.In != nil || v.M != nil || v.Any != nil) {
		t.Errorf("a query filled what only JSON can: %+v", v)
	}
	return v
}

// checkFieldErrors wants nothing but FieldErrors, in the order of their keys.
func checkFieldErrors(t *testing.T, err error) {
	t.Helper()
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	last := ""
	for _, err := range list {
		field, ok := err.(beacon.FieldError)
		if !ok {
			t.Fatalf("error is a %T: %v", err, err)
		}
		if field.Key == "body" && field.Reason == "does not fit" && field.Value == "" {
			continue // recovered from, or a type's own UnmarshalJSON
		}
		if field.Key < last {
			t.Errorf("errors not in the order of their keys: %v", err)
		}
		last = field.Key
	}
}

// checkFirst compares some fields with the first value of their exact key.
func checkFirst(t *testing.T, e beacon.Event, v Everything) {
	t.Helper()
	if want := e.Query.Get("s"); want != "" && v.S != want {
		t.Errorf("s is %q, want %q", v.S, want)
	}
	if first := e.Query.Values("i"); len(first) > 0 {
		if want, err := strconv.Atoi(first[0]); err == nil && v.I != want {
			t.Errorf("i is %d, want %d", v.I, want)
		}
	}
	if first := e.Query.Values("c_f"); len(first) > 0 { // before "c.f", wherever that stands
		if want, err := strconv.ParseFloat(first[0], 64); err == nil && want-want == 0 && v.CF != want {
			t.Errorf("c_f is %v, want %v", v.CF, want)
		}
	}
	if diff := cmp.Diff(e.Query.Values("ss"), v.Ss); diff != "" && len(e.Query.Values("ss")) > 0 {
		t.Errorf("ss (-want +got)\n%s", diff)
	}
}

// nonFinite returns the path of a float in v that is NaN or infinite.
func nonFinite(v reflect.Value, path string) string {
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		if f := v.Float(); f-f != 0 {
			return path
		}
	case reflect.Pointer, reflect.Interface:
		return nonFinite(v.Elem(), path)
	case reflect.Struct:
		for i := range v.NumField() {
			if bad := nonFinite(v.Field(i), path+"."+v.Type().Field(i).Name); bad != "" {
				return bad
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			if bad := nonFinite(v.Index(i), path+"[]"); bad != "" {
				return bad
			}
		}
	}
	return ""
}
