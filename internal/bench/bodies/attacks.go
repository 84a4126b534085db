package bodies

import "strings"

// An Attack is a body that tries to cost more than what sent it.
type Attack struct {
	Name string
	Like string               // the kind of an ordinary body beside it: one of those of Ordinary
	Make func(bytes int) Body // of about so many bytes
}

// Attacks are the shapes that were tried against the decoders.
func Attacks() []Attack {
	return []Attack{
		{"multipart: carriage returns", "multipart", part("\r")},
		{"multipart: beginnings of delimiters", "multipart", part("\r\n--")},
		{"multipart: the delimiter but for its end", "multipart", part("\r\n--" + Boundary[:len(Boundary)-1])},
		{"multipart: headers of a part", "multipart", func(n int) Body {
			return multipart("--" + Boundary + "\r\n" + strings.Repeat("a:b\r\n", n/5) + "\r\n\r\n")
		}},
		{"multipart: a preamble", "multipart", func(n int) Body { return multipart(strings.Repeat("-\r\n", n/3) + partHead + "v\r\n") }},
		{"multipart: empty parts", "multipart", func(n int) Body {
			const empty = "--" + Boundary + "\r\nContent-Disposition: form-data; name=\"\"\r\n\r\n\r\n"
			return multipart(strings.Repeat(empty, n/len(empty)))
		}},
		{"urlencoded: ampersands", "urlencoded", repeated(FormType, "", "&", "")},
		{"urlencoded: percent signs", "urlencoded", repeated(FormType, "", "%", "")},
		{"urlencoded: empty pairs", "urlencoded", repeated(FormType, "", "=&", "")},
		{"urlencoded: one escape, then ampersands", "urlencoded", repeated(FormType, "a=%41", "&", "")},
		{"JSON: brackets that do not end", "JSON", repeated(JSONType, "", "[", "")},
		{"JSON: members", "JSON", repeated(JSONType, "{", `"":0,`, `"":0}`)},
		{"JSON: elements", "JSON", repeated(JSONType, "[", "0,", "0]")},
		{"JSON: escapes", "JSON", repeated(JSONType, `"`, `\u0041`, `"`)},
		{"JSON: broken at its end", "JSON", repeated(JSONType, "[", `{"a":[]},`, "x")},
		{"JSON: half of it nested, as deep as may be", "JSON", func(n int) Body {
			deep := strings.Repeat("[", 500) + strings.Repeat("]", 500) + ","
			return Body{Type: JSONType, Data: []byte("[" + strings.Repeat(deep, n/len(deep)) + "0]")}
		}},
		{"ndjson: lines of a byte", "ndjson", repeated(LinesType, "", "0\n", "")},
		{"ndjson: as many lines of a byte as may be", "ndjson", func(int) Body { return most }},
		{"ndjson: as many, behind a long query", "ndjson", func(n int) Body {
			b := most
			b.Query = strings.Repeat("a", n)
			return b
		}},
		{"ndjson: blank lines", "ndjson", repeated(LinesType, "{}", "\n", "")},
		{"ndjson: lines that are broken", "ndjson", repeated(LinesType, "", "{\n", "")},
		{"envelope: items of a few bytes", "envelope", repeated(TextType, `{"v":1,"m":"append","k":"k","ev":[`, "{},", "{}]}")},
		{"envelope: members", "envelope", repeated(TextType, `{"v":1,"m":"append","k":"k",`, `"e":0,`, `"ev":[{"n":1}]}`)},
		{"envelope: members of an item", "envelope", repeated(TextType, `{"v":1,"m":"append","k":"k","ev":[{`, `"d":0,`, `"n":1}]}`)},
		{"envelope: it has no end", "envelope", repeated(TextType, `{"v":1,"m":"append","k":"k","ev":[`, `{"n":1},`, "")},
		{"reports: empty", "reports", repeated(ReportsType, "[", "{},", "{}]")},
		{"reports: members that do not fit", "reports", repeated(ReportsType, `[{"type":"t",`, `"age":"",`, `"url":5}]`)},
		{"reports: members", "reports", repeated(ReportsType, `[{"type":"t","body":{`, `"":0,`, `"a":0}}]`)},
		{"CSP report: members", "reports", repeated(CSPType, `{"csp-report":{`, `"document-uri":"",`, `"referrer":""}}`)},
		{"media type: semicolons", "text", func(n int) Body {
			return Body{Type: "multipart/x" + strings.Repeat(";", n-30) + `"`, Data: []byte("x")}
		}},
		{"gzip: as many lines of a byte as may be", "ndjson", func(int) Body { return Gzip(most) }},
		{"gzip: zeros", "JSON, gzip", func(n int) Body { return gzipped(LinesType, strings.Repeat("\x00", n)) }},
		{"gzip: lines of a byte", "ndjson", func(n int) Body { return gzipped(LinesType, strings.Repeat("0\n", n/2)) }},
		{"gzip: members of it", "JSON, gzip", func(n int) Body {
			one := Gzip(Body{Data: []byte("0\n")}).Data
			return Body{Type: LinesType, Coding: "gzip", Data: []byte(strings.Repeat(string(one), n/len(one)))}
		}},
	}
}

// Ordinary is an honest body of a kind, of about so many bytes.
func Ordinary(kind string, bytes int) Body {
	kind, coding, _ := strings.Cut(kind, ", ")
	maker := map[string]func(int) Body{
		"multipart":  func(n int) Body { return Multipart(n, 0) },
		"urlencoded": URLEncoded,
		"JSON":       JSON,
		"ndjson":     Lines,
		"envelope":   Envelope,
		"reports":    Reports,
		"text":       func(int) Body { return Text() },
	}[kind]
	few, many := len(maker(100).Data), len(maker(200).Data)
	n := 1
	if each := (many - few) / 100; each > 0 {
		n = max(1, (bytes-few)/each+100)
	}
	b := maker(n)
	if coding == "gzip" {
		b = Gzip(b)
	}
	return b
}

var most = repeated(LinesType, "", "0\n", "")(2000)

const partHead = "--" + Boundary + "\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n"

func multipart(parts string) Body {
	return Body{Type: MultipartType, Data: []byte(parts + "--" + Boundary + "--\r\n")}
}

func part(unit string) func(int) Body {
	return func(n int) Body { return multipart(partHead + strings.Repeat(unit, n/len(unit)) + "\r\n") }
}

func repeated(contentType, before, unit, after string) func(int) Body {
	return func(n int) Body {
		return Body{Type: contentType, Data: []byte(before + strings.Repeat(unit, n/len(unit)) + after)}
	}
}

func gzipped(contentType, text string) Body { return Gzip(Body{Type: contentType, Data: []byte(text)}) }
