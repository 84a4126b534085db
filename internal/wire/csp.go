package wire

import (
	"bytes"
	"slices"
	"strings"
)

// cspNames are the members of a legacy CSP report and their names in a
// CSPViolationReportBody (CSP3 §5.2), in the order they are written.
var cspNames = [...]struct{ legacy, modern string }{
	{"document-uri", "documentURL"},
	{"referrer", "referrer"},
	{"blocked-uri", "blockedURL"},
	{"effective-directive", "effectiveDirective"},
	{"original-policy", "originalPolicy"},
	{"source-file", "sourceFile"},
	{"script-sample", "sample"},
	{"disposition", "disposition"},
	{"status-code", "statusCode"},
	{"line-number", "lineNumber"},
	{"column-number", "columnNumber"},
}

// modernName returns the Reporting API's name of a member of a legacy CSP report, and
// where in [cspNames] that is; a name that is not there comes last.
func modernName(legacy string) (name string, rank int) {
	for i, n := range cspNames {
		if legacy == n.legacy || legacy == n.modern {
			return n.modern, i
		}
	}
	return legacy, len(cspNames)
}

// maxSorted is up to how many unknown members of a report are sorted: no browser sends
// more than a few.
const maxSorted = 64

// ModernCSP rewrites a legacy CSP report, which is valid JSON, with the Reporting API's names. Values
// are kept as they are, and members it does not know follow under their own
// names. violated-directive is the older name of effective-directive, and only
// kept where it says something else. url is that of the document; ok is false if
// legacy is not an object.
func ModernCSP(legacy []byte) (body []byte, url string, ok bool) {
	m, ok := MembersOf(legacy)
	if !ok {
		return nil, "", false
	}
	var (
		known    [len(cspNames)][]byte
		isLegacy [len(cspNames)]bool // said under its legacy name, which counts
		violated []byte
		others   []Member
	)
	for key, v, ok := m.Next(); ok; key, v, ok = m.Next() {
		name, rank := modernName(key)
		switch {
		case key == "violated-directive":
			violated = v
		case rank == len(cspNames):
			others = append(others, Member{key, v})
		case name != key || !isLegacy[rank]:
			known[rank], isLegacy[rank] = v, name != key
		}
	}
	const effective = 3 // in cspNames
	if known[effective] == nil {
		known[effective] = violated
	} else if violated != nil && !bytes.Equal(known[effective], violated) {
		others = append(others, Member{"violated-directive", violated})
	}
	url, _ = JSONString(known[0]) // not a string: no URL then
	out := []byte{'{'}
	for i, v := range known {
		if v != nil {
			out = appendJSONMember(out, cspNames[i].modern, v)
		}
	}
	if len(others) <= maxSorted {
		slices.SortStableFunc(others, func(a, b Member) int { return strings.Compare(a.Key, b.Key) })
	}
	for _, m := range others {
		out = appendJSONMember(out, m.Key, m.Value)
	}
	return CloseList(out, '}'), url, true
}

func appendJSONMember(b []byte, name string, value []byte) []byte {
	b = AppendString(b, name)
	b = append(append(b, ':'), value...)
	return append(b, ',')
}
