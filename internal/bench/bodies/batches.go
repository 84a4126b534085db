package bodies

import (
	"fmt"
	"strings"
)

// Envelope is what the browser client sends: n log entries of a page view.
func Envelope(n int) Body {
	var items []string
	for i := range n {
		items = append(items, fmt.Sprintf(`{"n":%d,"t":170000000%04d,"e":"log","d":{"msg":"saved","button":"save-%d"}}`, i+1, i, i))
	}
	text := `{"v":1,"m":"append","k":"l:3f9a1c","b":"b1","r":1,"sid":"9c2e41","pv":"3f9a1c","page":"https://example.com/products/42","via":"bye","at":1700000000999,"ev":[` +
		strings.Join(items, ",") + "]}"
	return Body{Name: "envelope, " + count(n, "event"), Type: TextType, Data: []byte(text), Events: n}
}

// Reports is what the Reporting API sends: n violations of a content security policy.
func Reports(n int) Body {
	var items []string
	for i := range n {
		items = append(items, fmt.Sprintf(`{"age":%d,"body":{"blockedURL":"https://evil.example/x.js","disposition":"enforce","documentURL":"https://example.com/","effectiveDirective":"script-src-elem","lineNumber":%d,"originalPolicy":"script-src 'self'; report-to default","referrer":"","statusCode":200},"type":"csp-violation","url":"https://example.com/","user_agent":"Mozilla/5.0 (X11; Linux x86_64)"}`, i*10, i))
	}
	return Body{Name: "Reporting API, " + count(n, "report"), Type: ReportsType, Data: []byte("[" + strings.Join(items, ",") + "]"), Events: n}
}

// CSP is a violation report of the older kind.
func CSP() Body {
	const text = `{"csp-report":{"document-uri":"https://example.com/products/42","referrer":"","violated-directive":"script-src-elem","effective-directive":"script-src-elem","original-policy":"script-src 'self'; report-uri /csp","disposition":"enforce","blocked-uri":"https://evil.example/x.js","line-number":12,"column-number":8,"source-file":"https://example.com/app.js","status-code":200,"script-sample":""}}`
	return Body{Name: "CSP report", Type: CSPType, Data: []byte(text), Events: 1}
}

// Lines is newline-delimited JSON of n clicks.
func Lines(n int) Body {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"event\":\"click\",\"target\":\"button-%d\",\"x\":%d,\"y\":220,\"time\":1700000000000,\"path\":\"/products/42\"}\n", i, i)
	}
	return Body{Name: "ndjson, " + count(n, "line"), Type: LinesType, Data: []byte(b.String()), Events: n}
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprint(n, " ", what)
}
