package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// FuzzJSON compares the JSON scanners with encoding/json.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		"", " ", "null", "nul", "tru", "true ", "falsey", "-", "-0", "01", "1.", "1.5e+10", "1E5", "1E-", ".5", "+1", "1e400", "0x1",
		`""`, `"`, `"\u00e9\ud800\n"`, `"\u00g0"`, `"\u123g"`, `"\u12"`, `"\x"`, `"\v"`, "1\v", `"\`, "\"\x1f\"", "\"\x7f\u2028\"", "\"\xff\"", "\"\\\xff\"", "\u00a0[]", "[\"\xff\",\"a\"]",
		"[]", "[ ]", "[1,2]", "[1,]", "[,1]", "[1 2]", "[", "]", "[[]", "[]]", "[1]x", "[}", "{]", `[{"a":[1,"],["]},"\"]",[[]]]`,
		"{}", `{"a":1}`, `{"a":1,}`, `{"a"}`, `{"a":}`, `{a:1}`, `{1:1}`, `{"a":1 "b":2}`, `{"a":1,"a":2}`, `{,}`,
		"[\v1\v,\u00a02]", "[1,2,3]", " [ 1 , {} , [ ] ]\n", "\xEF\xBB\xBF{}", "[[[[[[1]]]]]]", `{"a":{"a":{"a":{"a":{}}}}}`, "[[[[[x]]]]]",
		`"\u2028"`, "\"\u2028\"", "\"\u2029é\"", `"a<b"`, "\"a>\"", `{"a":"\"\\","b&":"12345678"}`, `"1234567\"8"`, "\"1234567\x1f\"", "\"é34567\\n\"", `[{"k":"v"} ]`,
		strings.Repeat("[", 130) + strings.Repeat("]", 130), strings.Repeat(`{"a":[`, 65) + strings.Repeat("]}", 65), strings.Repeat(`{"a":[`, 65) + strings.Repeat("}]", 65),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fuzzCheckJSON(t, b)
		fuzzPlainJSON(t, b)
		fuzzSplitArray(t, b)
	})
}

func fuzzCheckJSON(t *testing.T, b []byte) {
	const limit = 4
	got := CheckJSON(b, limit)
	if json.Valid(b) && utf8.Valid(b) {
		depth := depthOf(b)
		want := JSONValid
		if depth > limit {
			want = JSONTooDeep
		}
		if got != want {
			t.Errorf("%q: %d, want %d", b, got, want)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, b); err != nil {
			t.Fatal(err)
		}
		if got, want := ScanJSON(b, depth), (JSONScan{JSONValid, itemsOf(b), compact.Len() != len(b)}); got != want {
			t.Errorf("%q: %+v, want %+v", b, got, want)
		}
		if depth > 0 && CheckJSON(b, depth-1) != JSONTooDeep {
			t.Errorf("%q: not too deep for %d", b, depth-1)
		}
		return
	}
	// Where both are true of a text either answer will do.
	brackets := bytes.Count(b, []byte("[")) + bytes.Count(b, []byte("{"))
	if got == JSONValid || got == JSONTooDeep && brackets <= limit {
		t.Errorf("%q: %d, want it invalid", b, got)
	}
}

// fuzzPlainJSON: what is plain is what encoding/json writes as it is.
func fuzzPlainJSON(t *testing.T, b []byte) {
	again, err := json.Marshal(json.RawMessage(b))
	want := err == nil && utf8.Valid(b) && bytes.Equal(again, b) && string(b) != "null"
	if got := PlainJSON(b); got != want {
		t.Errorf("%q: plain: %t, want %t", b, got, want)
	}
}

// itemsOf is how many elements or members a valid text has.
func itemsOf(b []byte) (n int) {
	d := json.NewDecoder(bytes.NewReader(b))
	outer, _ := d.Token()
	if _, isList := outer.(json.Delim); !isList {
		return 0
	}
	for ; d.More(); n++ {
		if outer == json.Delim('{') {
			_, _ = d.Token() // the key
		}
		if d.Decode(new(json.RawMessage)) != nil {
			break
		}
	}
	return n
}

// depthOf is how deep the arrays and objects of a valid JSON text nest.
func depthOf(b []byte) (deepest int) {
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			depth++
			deepest = max(deepest, depth)
		case c == ']' || c == '}':
			depth--
		}
	}
	return deepest
}

func fuzzSplitArray(t *testing.T, b []byte) {
	items, ok := SplitJSONArray(b, len(b))
	var want []json.RawMessage
	if trimmed := bytes.TrimSpace(b); ok != bytes.HasPrefix(trimmed, []byte("[")) {
		t.Fatalf("%q: an array: %t", b, ok)
	}
	if !ok {
		return
	}
	if json.Unmarshal(b, &want) == nil {
		var got []json.RawMessage
		for _, item := range items {
			got = append(got, item)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q: items (-want +got)\n%s", b, diff)
		}
	}
	if got, want := unseparated(bytes.Join(items, []byte(","))), unseparated(b); !bytes.Equal(got, want) {
		t.Errorf("%q: split into %q, which holds %q, want %q", b, items, got, want)
	}
	for _, most := range []int{0, 1, 2} {
		some, _ := SplitJSONArray(b, most)
		if (len(some) > most) != (len(items) > most) || len(some) > most+2 {
			t.Errorf("%q: %d items of %d when %d are allowed", b, len(some), len(items), most)
		}
	}
}

// unseparated is what of an array must not be lost: all but what separates.
func unseparated(b []byte) []byte {
	return bytes.Map(func(c rune) rune {
		if unicode.IsSpace(c) || strings.ContainsRune(",[]", c) {
			return -1
		}
		return c
	}, b)
}
