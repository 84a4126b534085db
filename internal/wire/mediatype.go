package wire

import "strings"

// A Kind is how a body is to be read.
type Kind uint8

const (
	KindBinary     Kind = iota // a type with no reading of its own
	KindNoType                 // no type
	KindOctets                 // any bytes
	KindCompressed             // the type of a compressed file
	KindPlainText              // text/plain, which may be JSON to spare a preflight
	KindOtherText              // any other text
	KindJSON
	KindNDJSON
	KindForm
	KindMultipartForm
	KindPing
	KindReports
	KindCSPReport
)

// kindOf is the kind of a type in lower case, without parameters.
func kindOf(essence string) Kind {
	if k, ok := knownKind(essence); ok {
		return k
	}
	switch {
	case strings.HasSuffix(essence, "+json"):
		return KindJSON
	case strings.HasSuffix(essence, "+ndjson"), strings.HasSuffix(essence, "+x-ndjson"):
		return KindNDJSON
	case strings.HasPrefix(essence, "text/"):
		return KindOtherText
	}
	return KindBinary
}

func knownKind(essence string) (k Kind, ok bool) {
	switch essence {
	case "":
		return KindNoType, true
	case "text/plain":
		return KindPlainText, true
	case "application/x-www-form-urlencoded":
		return KindForm, true
	case "multipart/form-data":
		return KindMultipartForm, true
	case "text/ping":
		return KindPing, true
	case "application/reports+json":
		return KindReports, true
	case "application/csp-report":
		return KindCSPReport, true
	case "application/json", "text/json":
		return KindJSON, true
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines", "application/x-jsonlines",
		"application/x-json-stream":
		return KindNDJSON, true
	case "application/octet-stream":
		return KindOctets, true
	case "application/gzip", "application/x-gzip", "application/zlib":
		return KindCompressed, true
	}
	return KindBinary, false
}

// MaybeCompressed says whether a body of this kind that starts like a compressed
// one is taken for it: where the type says nothing against it, or where the
// bytes would otherwise break it.
func (k Kind) MaybeCompressed() bool {
	return k != KindBinary && k != KindMultipartForm && k != KindPing
}

// MaybeJSON says whether a body of this kind may be one JSON text.
func (k Kind) MaybeJSON() bool {
	switch k {
	case KindPlainText, KindNoType, KindOctets, KindCompressed, KindJSON, KindForm:
		return true
	}
	return false
}

// IsJSON says whether the type promises JSON of some kind.
func (k Kind) IsJSON() bool {
	return k == KindJSON || k == KindNDJSON || k == KindReports || k == KindCSPReport
}

// A MediaType is what decoding needs of a Content-Type.
type MediaType struct {
	Kind     Kind
	Boundary string // of a multipart form; empty if there is none, or a longer one than there can be
}

// ParseMediaType reads a Content-Type (MIME Sniffing §4.4). Its own, because
// mime.ParseMediaType builds a map of the parameters and fails on a type whose
// parameters are odd, although the essence is what counts.
func ParseMediaType(s string) MediaType {
	// As browsers write them.
	if b, ok := strings.CutPrefix(s, "multipart/form-data; boundary="); ok && len(b) <= maxBoundary && IsToken(b) {
		return MediaType{KindMultipartForm, b}
	}
	if k, ok := knownKind(strings.TrimSuffix(s, ";charset=UTF-8")); ok {
		return MediaType{Kind: k}
	}
	essence, params, _ := strings.Cut(s, ";")
	essence = strings.Trim(essence, " \t")
	typ, sub, ok := strings.Cut(essence, "/")
	if essence != "" && (!ok || !IsToken(typ) || !IsToken(sub)) {
		return MediaType{Kind: KindBinary} // known not to be any type
	}
	mt := MediaType{Kind: kindOf(strings.ToLower(essence))}
	if mt.Kind == KindMultipartForm {
		mt.Boundary = boundaryParam(params)
	}
	return mt
}

// boundaryParam finds the boundary among the parameters, in one pass: a header may
// hold thousands of them.
func boundaryParam(params string) string {
	for len(params) > 0 {
		end, quoted := 0, false // a quoted boundary may hold a ";"
		for ; end < len(params) && (quoted || params[end] != ';'); end++ {
			if params[end] == '"' {
				quoted = !quoted
			}
		}
		if quoted { // never closed, so it quotes nothing
			if end = strings.IndexByte(params, ';'); end < 0 {
				end = len(params)
			}
		}
		name, value, _ := strings.Cut(strings.Trim(params[:end], " \t"), "=")
		if strings.EqualFold(name, "boundary") {
			if value = strings.Trim(value, `"`); len(value) > maxBoundary {
				return ""
			}
			return value
		}
		params = params[min(end+1, len(params)):]
	}
	return ""
}

// IsToken says whether s is a token (RFC 9110 §5.6.2), as methods, header names and
// both halves of a media type are.
func IsToken(s string) bool {
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

// IsHeaderList says whether s is a list of header names, as a preflight has it (Fetch
// §3.2.2), and not too long to be sent back.
func IsHeaderList(s string) bool {
	if len(s) == 0 || len(s) > 1024 {
		return false
	}
	for name := range strings.SplitSeq(s, ",") {
		if name = strings.Trim(name, " \t"); name != "" && (!IsToken(name) || name == "*") {
			return false
		}
	}
	return true
}

// tokenBytes are the bytes of a token (RFC 9110 §5.6.2).
var tokenBytes = func() (t [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[c] = true
	}
	return t
}()
