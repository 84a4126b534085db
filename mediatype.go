package beacon

import "strings"

// A bodyKind is how a body is to be read.
type bodyKind uint8

const (
	kindBinary     bodyKind = iota // a type with no reading of its own
	kindNone                       // no type
	kindCompressed                 // the type of a compressed file, or of any bytes
	kindPlain                      // text/plain, which may be JSON to spare a preflight
	kindText                       // any other text
	kindJSON
	kindNDJSON
	kindForm
	kindMultipart
	kindPing
	kindReports
	kindCSP
)

func kindOf(essence string) bodyKind {
	switch essence {
	case "":
		return kindNone
	case "text/plain":
		return kindPlain
	case "application/x-www-form-urlencoded":
		return kindForm
	case "multipart/form-data":
		return kindMultipart
	case "text/ping":
		return kindPing
	case "application/reports+json":
		return kindReports
	case "application/csp-report":
		return kindCSP
	case "application/json", "text/json":
		return kindJSON
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines", "application/x-jsonlines":
		return kindNDJSON
	case "application/gzip", "application/x-gzip", "application/zlib", "application/octet-stream":
		return kindCompressed
	}
	switch {
	case strings.HasSuffix(essence, "+json"):
		return kindJSON
	case strings.HasPrefix(essence, "text/"):
		return kindText
	}
	return kindBinary
}

// maybeCompressed says whether a body of this kind that starts like a compressed
// one is taken for it: where the type says nothing against it, or where the
// bytes would otherwise break it.
func (k bodyKind) maybeCompressed() bool {
	return k != kindBinary && k != kindMultipart && k != kindPing
}

// isJSON says whether the type promises JSON of some kind.
func (k bodyKind) isJSON() bool {
	return k == kindJSON || k == kindNDJSON || k == kindReports || k == kindCSP
}

// A mediaType is what decoding needs of a Content-Type: its essence in lower
// case, empty if there is none and "?" if it cannot be parsed, and a multipart
// boundary.
type mediaType struct {
	essence, boundary string
}

// parseMediaType reads a Content-Type (MIME Sniffing §4.4). Its own, because
// mime.ParseMediaType builds a map of the parameters and fails on a type whose
// parameters are odd, although the essence is what counts.
func parseMediaType(s string) mediaType {
	if boundary, ok := strings.CutPrefix(s, "multipart/form-data; boundary="); ok && isToken(boundary) {
		return mediaType{essence: "multipart/form-data", boundary: boundary} // as browsers write it
	}
	essence, params, _ := strings.Cut(s, ";")
	essence = strings.Trim(essence, " \t")
	typ, sub, ok := strings.Cut(essence, "/")
	if essence != "" && (!ok || !isToken(typ) || !isToken(sub)) {
		return mediaType{essence: "?"} // known not to be any type
	}
	mt := mediaType{essence: strings.ToLower(essence)}
	if strings.HasPrefix(mt.essence, "multipart/") {
		mt.boundary = boundaryParam(params)
	}
	return mt
}

func boundaryParam(params string) string {
	for params != "" {
		var p string
		if i := strings.IndexByte(params, '"'); i >= 0 && i < strings.IndexByte(params+";", ';') {
			// A quoted boundary may hold a ";".
			if j := strings.IndexByte(params[i+1:], '"'); j >= 0 {
				p, params = params[:i+j+2], params[i+j+2:]
			}
		}
		if p == "" {
			p, params, _ = strings.Cut(params, ";")
		}
		name, value, _ := strings.Cut(strings.Trim(p, " \t;"), "=")
		if strings.EqualFold(name, "boundary") {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

func isToken(s string) bool {
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

// tokenBytes are the bytes of a token (RFC 9110 §5.6.2).
var tokenBytes = func() (t [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[c] = true
	}
	return t
}()
