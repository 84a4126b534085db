package wire

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// FuzzMembers compares the walker with encoding/json on valid objects, and sees that it
// ends, within the text, on all others.
func FuzzMembers(f *testing.F) {
	for _, seed := range []string{
		"", "{", "{}", "[]", `"a"`, "null", ` { "a" : 1 , "b":[1,{"c":"}"}] } `, `{"a":"\"","b":"\\","\u0061":null}`, `{"a":{"b":{}},"c":-1.5e3,"d":true}`,
		`{"a":,}`, `{"a"`, `{"a":[`, `{"a":"`, "{\"a\":\x01}", "{\"a\":[\x01\x02", `{"é":"日","":""}`, `{"a":1,"a":2}`, `{"\ud800":1}`, `{"a":"\ud83d\ude00"}`, `{1:2}`, `{"a":]}`,
		`{"a":[ ],"b":{ },"c":[1,[2,3]],"d":{"x":1,"y":{"z":2}},"e":"[1,2]"}`, "{\"a\":\"\x01234567\",\"12345678\":\"1234567\\\"\"}", `{"n":123456789012345,"m":1234567890123456,"o":0}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, ok := MembersOf(b)
		got := map[string]string{}
		size := 0
		for key, v, more := m.Next(); more; key, v, more = m.Next() {
			got[key] = string(v)
			size += len(v)
			if json.Valid(b) && m.items != itemsOf(v) {
				t.Fatalf("%q: %q has %d items, want %d", b, v, m.items, itemsOf(v))
			}
			if cap(v) != len(v) {
				t.Fatalf("%q: %q has room behind it", b, v)
			}
		}
		if size > len(b) {
			t.Fatalf("%q: values of %d bytes in %d", b, size, len(b))
		}
		if !json.Valid(b) || !utf8.Valid(b) {
			return
		}
		var want map[string]json.RawMessage
		if isObject := json.Unmarshal(b, &want) == nil && want != nil; isObject != ok {
			t.Fatalf("%q: an object: %t, want %t", b, ok, isObject)
		}
		if len(want) != len(got) {
			t.Fatalf("%q: %q, want %q", b, got, want)
		}
		for key, v := range want {
			if got[key] != string(v) {
				t.Fatalf("%q: member %q is %q, want %q", b, key, got[key], v)
			}
			fuzzValue(t, v)
		}
	})
}

func fuzzValue(t *testing.T, v []byte) {
	var s string
	wantString := v[0] == '"' && json.Unmarshal(v, &s) == nil
	if got, ok := JSONString(v); ok != wantString || got != s {
		t.Errorf("%q: string %q %t, want %q %t", v, got, ok, s, wantString)
	}
	var n float64
	wantFloat := !IsJSONNull(v) && json.Unmarshal(v, &n) == nil
	if got, ok := JSONFloat(v); ok != wantFloat || ok && got != n {
		t.Errorf("%q: number %v %t, want %v %t", v, got, ok, n, wantFloat)
	}
	var u uint64
	wantUint := !IsJSONNull(v) && json.Unmarshal(v, &u) == nil
	if got, ok := JSONUint(v); ok != wantUint || ok && got != u {
		t.Errorf("%q: number %v %t, want %v %t", v, got, ok, u, wantUint)
	}
}

func TestParseMediaType(t *testing.T) {
	for in, want := range map[string]MediaType{
		"": {Kind: KindNoType}, "text/plain;charset=UTF-8": {Kind: KindPlainText}, "TEXT/HTML": {Kind: KindOtherText}, "a": {Kind: KindBinary}, "image/png": {Kind: KindBinary},
		"application/octet-stream": {Kind: KindOctets}, "application/gzip": {Kind: KindCompressed}, "application/ld+json": {Kind: KindJSON},
		"application/x-json-stream": {Kind: KindNDJSON}, "application/a+ndjson": {Kind: KindNDJSON}, "application/a+x-ndjson": {Kind: KindNDJSON},
		"multipart/form-data; boundary=B":                       {KindMultipartForm, "B"},
		"multipart/form-data; a; boundary=B; c":                 {KindMultipartForm, "B"},
		`multipart/form-data; boundary="a;b"; c`:                {KindMultipartForm, "a;b"},
		`multipart/form-data; x="; boundary=C"; boundary=B`:     {KindMultipartForm, "B"},
		`multipart/form-data; x="; boundary=B`:                  {KindMultipartForm, "B"},
		`multipart/form-data; x=";";y=";" ; BOUNDARY = B`:       {Kind: KindMultipartForm},
		"multipart/form-data; boundary=" + long(maxBoundary):    {KindMultipartForm, long(maxBoundary)},
		"multipart/form-data; boundary=" + long(maxBoundary+1):  {Kind: KindMultipartForm},
		"multipart/form-data;boundary=" + long(maxBoundary+1):   {Kind: KindMultipartForm},
		"multipart/form-data;;;;boundary=\"" + long(200) + "\"": {Kind: KindMultipartForm},
		"multipart/mixed; boundary=B":                           {Kind: KindBinary},
	} {
		if diff := cmp.Diff(want, ParseMediaType(in)); diff != "" {
			t.Errorf("%.80s (-want +got)\n%s", in, diff)
		}
	}
}

func long(n int) string { return strings.Repeat("b", n) }

// TestMediaTypeIsLinear: a header of 8 KiB of parameters is walked over once. What made
// it quadratic was a copy of the rest for each of them.
func TestMediaTypeIsLinear(t *testing.T) {
	for _, params := range []string{";", `";`, `"`, `a=";`, `"";`, ` ;`} {
		header := "multipart/form-data" + strings.Repeat(";"+params, 8<<10/(len(params)+1)) + `"`
		if n := testing.AllocsPerRun(10, func() { ParseMediaType(header) }); n > 0 {
			t.Errorf("%q: %v allocations", params, n)
		}
	}
}

func TestPages(t *testing.T) {
	testPages(t, Pages{})
	testPages(t, Pages{Expect: 1}) // it becomes more
	testPages(t, Pages{Expect: 1 << 20})
	if n := testing.AllocsPerRun(10, func() {
		p := Pages{Expect: 100}
		for range 10 {
			p.Copy([]byte("ten bytes."))
		}
	}); n > 1 {
		t.Errorf("%v pages for what was expected", n)
	}
	p := Pages{Expect: 100}
	p.Copy([]byte("a"))
	if page := len(p.free) + 1; page != 100 {
		t.Errorf("100 bytes are expected, and a page has %d", page)
	}
}

func testPages(t *testing.T, p Pages) {
	var all [][]byte
	for i := range 500 {
		in := []byte(strings.Repeat(string(rune('a'+i%26)), i*3))
		out := p.Copy(in)
		if cap(out) != len(out) {
			t.Fatalf("%d bytes: room for %d", len(out), cap(out))
		}
		clear(in)
		all = append(all, out)
	}
	for i, b := range all {
		if want := strings.Repeat(string(rune('a'+i%26)), i*3); string(b) != want {
			t.Fatalf("copy %d became %.20q", i, b)
		}
	}
}
