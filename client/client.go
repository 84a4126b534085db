// Package client holds the browser client: a script that gives pages the stateful
// page-unload beacon API (PendingGetBeacon, PendingPostBeacon, AppendableBeacon,
// ReplaceableBeacon) in every current browser, and session durations without a line
// of code.
//
// The files are embedded; there is nothing to build or to fetch from elsewhere. A
// page needs one tag, which beacon.Handler.ScriptTag writes. beacon.Handler.Middleware
// serves the script beside the endpoint, or mount [Handler] where you like:
//
//	mux.Handle("/assets/", client.Handler())
//
// It knows a file by the last element of the path, so also under the name that
// beacon.Handler.ScriptURL has for it.
package client

import (
	"bytes"
	"crypto/sha512"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"html/template"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

//go:embed dist/beacon.min.js dist/beacon.min.mjs dist/core.min.mjs
var dist embed.FS

// The files that [Handler] serves.
const (
	Script = "_pb.js"       // the classic script: starts by itself, global name beacon
	Module = "_pb.mjs"      // the same as an ES module, to be started with init
	Core   = "_pb.core.mjs" // the beacon classes alone, as an ES module
)

// A file is one of them as it is served.
type file struct {
	body      []byte
	hash      string // first 8 hex digits of its SHA-384
	integrity string
}

// files reads the embedded files once, by name.
var files = sync.OnceValue(func() map[string]file {
	m := map[string]file{}
	for name, source := range map[string]string{
		Script: "dist/beacon.min.js", Module: "dist/beacon.min.mjs", Core: "dist/core.min.mjs",
	} {
		body, err := dist.ReadFile(source)
		if err != nil {
			panic(err) // embedded, so it is there
		}
		sum := sha512.Sum384(body)
		m[name] = file{body, hex.EncodeToString(sum[:4]), "sha384-" + base64.StdEncoding.EncodeToString(sum[:])}
	}
	return m
})

// Hashed returns the name of a file with the hash of its content in it, as in
// "_pb.0a1b2c3d.js". It panics if there is no such file.
func Hashed(name string) string {
	dot := strings.LastIndexByte(name, '.')
	return name[:dot] + "." + get(name).hash + name[dot:]
}

// Integrity returns the value of a script's integrity attribute (Subresource
// Integrity). It panics if there is no such file.
func Integrity(name string) string { return get(name).integrity }

func get(name string) file {
	f, ok := files()[name]
	if !ok {
		panic(fmt.Sprintf("client: no file %q", name))
	}
	return f
}

// Handler serves the files by the last element of the path: under their plain names,
// with or without the underscore, to be revalidated after an hour, and under any name
// that has the hash of their content before its ending, such as "_pb.0a1b2c3d.js", to
// be kept for good. It is safe for concurrent use.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, immutable := lookUp(path.Base(r.URL.Path))
		if name == "" {
			http.NotFound(w, r)
			return
		}
		Serve(w, r, name, immutable)
	})
}

// Serve answers a request with one of the files, whatever the request's path is:
// immutable if that changes when the file does. It panics if there is no such file.
func Serve(w http.ResponseWriter, r *http.Request, name string, immutable bool) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	f := get(name)
	h := w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", `"`+f.hash+`"`)
	// The script is the same for everyone, and pages of other origins load it
	// with crossorigin to check its integrity.
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Access-Control-Allow-Origin", "*")
	if immutable {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "public, max-age=3600")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}

// lookUp finds the file of a plain or hashed name. A hash of another version gets
// what there is, but not for good.
func lookUp(base string) (name string, immutable bool) {
	plain := "_" + strings.TrimPrefix(base, "_")
	for name, f := range files() {
		ext := path.Ext(name)
		if strings.HasSuffix(base, "."+f.hash+ext) {
			return name, true
		}
		hash, isOld := strings.CutPrefix(strings.TrimSuffix(plain, ext), strings.TrimSuffix(name, ext)+".")
		if plain == name || isOld && path.Ext(plain) == ext && isHash(hash) {
			return name, false
		}
	}
	return "", false
}

func isHash(s string) bool {
	return len(s) == 8 && strings.Trim(s, "0123456789abcdef") == ""
}

// A Tag says what the script element of a page is to hold.
type Tag struct {
	// Src is the URL under which the page finds the script: what
	// beacon.Handler.ScriptURL returns, or "/assets/"+client.Hashed(client.Script).
	// [ScriptTag] requires it.
	Src string

	// Endpoint is where the beacons go, a path or a URL; default "/_pb".
	Endpoint string

	// Nonce is for a Content-Security-Policy with 'nonce-…'.
	Nonce string

	// Consent is "required" if nothing may be stored or sent before the page calls
	// beacon.consent("granted"), or "granted", which is the default.
	Consent string

	// Token says to the endpoint that it wrote the page: what beacon.Handler.Token
	// returns, and beacon.Handler.ScriptTag fills in.
	Token string

	// GPC is what Global Privacy Control does: "block" (default) or "flag".
	GPC string
}

// ScriptTag returns the HTML of the script element, its values escaped. It is what
// beacon.Handler.ScriptTag calls, which fills in what the handler knows.
//
// It panics without Src, and for a Consent or GPC that the client does not know: a
// misspelt "required" must not be taken for consent.
func ScriptTag(t Tag) template.HTML {
	for _, v := range [...]struct{ name, value, a, b string }{
		{"Consent", t.Consent, "required", "granted"}, {"GPC", t.GPC, "block", "flag"},
	} {
		if v.value != "" && v.value != v.a && v.value != v.b {
			panic(fmt.Sprintf("client: Tag.%s is %q, neither %q nor %q", v.name, v.value, v.a, v.b))
		}
	}
	if t.Src == "" {
		panic("client: Tag.Src is empty")
	}
	var b strings.Builder
	b.WriteString("<script")
	for _, a := range [...]struct{ name, value string }{
		{"src", t.Src}, {"nonce", t.Nonce}, {"data-endpoint", t.Endpoint}, {"data-token", t.Token},
		{"data-consent", t.Consent}, {"data-gpc", t.GPC},
	} {
		if a.value != "" {
			b.WriteString(" " + a.name + `="` + html.EscapeString(a.value) + `"`)
		}
	}
	b.WriteString(" async></script>")
	return template.HTML(b.String())
}
