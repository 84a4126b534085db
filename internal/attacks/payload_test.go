package attacks

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"strings"
)

// A payload is a request of an attacker. What is sent of the body may be less than what
// its length says.
type payload struct {
	method  string // default POST
	query   string
	kind    string // Content-Type
	gzipped bool
	headers []string // lines
	body    []byte
	length  int // that is claimed; 0 is that of body
}

// head is what stands before the body in HTTP/1, sent from that network.
func (p *payload) head(from string) []byte {
	method := "POST"
	if p.method != "" {
		method = p.method
	}
	target := "/b"
	if p.query != "" {
		target += "?" + p.query
	}
	b := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: beacon.test\r\nX-Forwarded-For: %s\r\n", method, target, from)
	if p.kind != "" {
		b = fmt.Appendf(b, "Content-Type: %s\r\n", p.kind)
	}
	if p.gzipped {
		b = append(b, "Content-Encoding: gzip\r\n"...)
	}
	for _, h := range p.headers {
		b = append(append(b, h...), "\r\n"...)
	}
	if method == "POST" {
		b = fmt.Appendf(b, "Content-Length: %d\r\n", max(p.length, len(p.body)))
	}
	return append(b, "\r\n"...)
}

const (
	ndjson = "application/x-ndjson"
	form   = "application/x-www-form-urlencoded"
)

func zip(b []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is one
	_, _ = w.Write(b)                                       // into memory
	_ = w.Close()
	return out.Bytes()
}

func repeat(s string, n int) []byte { return []byte(strings.Repeat(s, n)) }

// list is n items in brackets.
func list(item string, n int) string {
	return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
}

// members are those of a JSON object, of so many bytes, all of other names.
func members(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, `"%x":0,`, i)
	}
	return b.String()
}

// blank is white space that is not compressed to less than a hundredth, which would be
// refused.
func blank(n int) []byte {
	b := repeat("\n", n)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range n / 20 {
		b[i] = " \t\r\n"[random.Uint32()%4]
	}
	return b
}

func tiny() []byte { return zip(repeat("0\n", 1000)) }

// headersOf are headers of which events keep a part.
func headersOf(value string) []string {
	var lines []string
	for _, name := range []string{"User-Agent", "Referer", "Sec-Purpose", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-User"} {
		lines = append(lines, name+": "+value)
	}
	return lines
}

// payloads are made when they are used: some are large.
var payloads = map[string]func() payload{
	"small":  func() payload { return payload{kind: "text/plain", body: []byte("flood")} },
	"poison": func() payload { return payload{kind: "text/plain", body: []byte(poisonBody)} },

	// As the browser client sends it.
	"page view": func() payload {
		return payload{kind: "text/plain;charset=UTF-8", headers: []string{
			"Origin: http://beacon.test", "Referer: http://beacon.test/a/page", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty",
			"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
		}, body: []byte(`{"v":1,"m":"replace","k":"k","sid":"s","pv":"p","via":"now","at":1700000000000,"page":"http://beacon.test/a/page","ev":[{"n":1,"t":1700000000000,"e":"session","d":{"start":1700000000000,"end":1700000012340,"seen":1}}]}`)}
	},

	// Events that multiply what they share.
	"query of 900 KB": func() payload {
		return payload{kind: ndjson, query: strings.Repeat("a", 900<<10), gzipped: true, body: tiny()}
	},
	"query of 64 KB": func() payload {
		return payload{kind: ndjson, query: strings.Repeat("a", 64<<10), gzipped: true, body: tiny()}
	},
	"six headers of 8 KB": func() payload {
		return payload{kind: ndjson, headers: headersOf(strings.Repeat("<", 8<<10)), gzipped: true, body: tiny()}
	},
	"text of <": func() payload { return payload{kind: "text/plain", body: repeat("<", 46<<10)} },

	// A thousand events in a few bytes.
	"tiny items": func() payload { return payload{kind: ndjson, gzipped: true, body: tiny()} },
	"bad lines":  func() payload { return payload{kind: ndjson, gzipped: true, body: zip(repeat("{\n", 1000))} },
	"envelope": func() payload {
		return payload{kind: "text/plain", gzipped: true, body: zip([]byte(`{"v":1,"m":"append","k":"k","sid":"s","pv":"p","ev":` + list(`{"n":1}`, 1000) + "}"))}
	},
	"reports": func() payload {
		return payload{kind: "application/reports+json", gzipped: true, body: zip([]byte(list("{}", 1000)))}
	},
	"fields": func() payload { return payload{kind: form, gzipped: true, body: zip(repeat("a&", 1000))} },

	// One small event in a large request.
	"preamble": func() payload {
		return payload{kind: "multipart/form-data; boundary=x",
			body: append(repeat("a", 1000<<10), "\r\n--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x--\r\n"...)}
	},
	"blank lines": func() payload {
		return payload{kind: ndjson, gzipped: true, body: zip(append(blank(4<<20-2), '0', '\n'))}
	},
	"ampersands":  func() payload { return payload{kind: form, body: append([]byte("a=%41"), repeat("&", 1000<<10)...)} },
	"long target": func() payload { return payload{method: "GET", query: strings.Repeat("&", 1000<<10)} },

	// Much to look at.
	"report of 54 KB": func() payload {
		// Compressed it is 54 KB, since most of its members have the same name.
		const size = 4<<20 - 1<<10
		some := members(180 << 10)
		return payload{kind: "application/reports+json", gzipped: true,
			body: zip([]byte(`[{` + some + strings.Repeat(`"a":0,`, (size-len(some))/6) + `"type":"x"}]`))}
	},
	"CSP report of 1 MB": func() payload {
		return payload{kind: "application/csp-report", body: []byte(`{"csp-report":{` + members(1<<20-100) + `"x":0}}`)}
	},
	"parameters": func() payload {
		return payload{kind: "multipart/x" + strings.Repeat(";", 8000) + `"`, body: []byte("x")}
	},

	// Claims on the budget.
	"nothing of 8 KB": func() payload { return payload{kind: "text/plain", length: 8 << 10} },
	"half of 1 MB":    func() payload { return payload{kind: "text/plain", body: repeat("a", 512<<10+1), length: 1 << 20} },
	"byte by byte":    func() payload { return payload{kind: "text/plain", length: 64 << 10} },
}
