package client

import (
	"encoding/json"
	"fmt"
	"html"
	"html/template"
	"slices"
	"strings"

	"github.com/pagebeacon/beacon/internal/origin"
)

// A Tag says what the script element of a page is to hold.
type Tag struct {
	// Src is the URL under which the page finds the script: what
	// beacon.Handler.ScriptURL returns, or "/assets/"+client.Hashed(client.Script), or
	// the same of another file with Light or Module. [ScriptTag] requires it.
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

	// Origins are those besides the page's own and the endpoint's to which beacons of a
	// page before this one, which the client has stored, may still be sent.
	Origins []string

	// Reliability is "atLeastOnce" if what browsers take without a word of its arrival
	// is to be kept, and sent again at the next visit: more arrives, and some of it twice.
	Reliability string

	// Page is what events say of the page's address, and of the referrer's: "path"
	// (default), which is the origin and the path, "full", which is all but the
	// fragment, or "none".
	Page string

	// SPA makes a page view of what a single-page application shows under another
	// address: "history", of the path, or "hash", of the path and the fragment.
	SPA string

	// Props are members of the data of all events of the client, unless an event has
	// its own of that name.
	Props map[string]any

	// Debug makes the client tell on the console what it does, and what is wrong.
	Debug bool

	// Light is for the script without the store that outlives a page, [Light].
	Light bool

	// Module is for an ES module instead of a classic script, in an element that holds
	// the options: a policy has to allow that, by Nonce. What else imports the module by
	// the same URL shares its state. It cannot have Integrity.
	Module bool

	// Auto is for automatic events: outbound links, downloads, forms, and what has the
	// attribute data-beacon-event. They are in a file of their own, beside Src.
	Auto bool

	// Queue puts [Stub] in front, for pages that call the client before it is there.
	Queue bool

	// Integrity has the browser check that the script is the one of this program. With
	// a URL of the endpoint's own that says nothing new; it is for one of a network that
	// delivers files.
	Integrity bool
}

// ScriptTag returns the HTML of the script element, its values escaped, and of what
// belongs to it. It is what beacon.Handler.ScriptTag calls, which fills in what the
// handler knows.
//
// It panics without Src, and for a value that the client does not know or cannot use: a
// misspelt "required" must not be taken for consent.
func ScriptTag(t Tag) template.HTML {
	t.check()
	var b strings.Builder
	if t.Queue {
		open(&b, attribute{"nonce", t.Nonce})
		b.WriteString(">" + Stub() + "</script>")
	}
	if t.Module {
		t.module(&b)
	} else {
		t.classic(&b)
	}
	return template.HTML(b.String())
}

func (t *Tag) check() {
	for _, v := range [...]struct {
		name, value string
		known       []string
	}{
		{"Consent", t.Consent, []string{"required", "granted"}}, {"GPC", t.GPC, []string{"block", "flag"}},
		{"Reliability", t.Reliability, []string{"atLeastOnce"}}, {"Page", t.Page, []string{"path", "full", "none"}},
		{"SPA", t.SPA, []string{"history", "hash"}},
	} {
		if v.value != "" && !slices.Contains(v.known, v.value) {
			panic(fmt.Sprintf("client: Tag.%s is %q, not one of %q", v.name, v.value, v.known))
		}
	}
	for _, o := range t.Origins {
		list, err := origin.Parse([]string{o})
		if err != nil || !list.Allow(o) { // the client compares, and knows no patterns
			panic(fmt.Sprintf("client: Tag.Origins has %q, which is not as browsers write an origin, such as %q", o, "https://example.com"))
		}
	}
	if t.Src == "" {
		panic("client: Tag.Src is empty")
	}
	// What the page would refuse to load, or would be without when its copy is old.
	src, _, _ := strings.Cut(t.Src, "?")
	is, immutable := lookUp(src[strings.LastIndexByte(src, '/')+1:])
	switch {
	case t.Debug && !strings.Contains(t.Src, "://") && !strings.HasPrefix(t.Src, "/"):
		panic(fmt.Sprintf("client: Tag.Src is %q, and Debug needs one that starts with a slash or a scheme: an import goes by the script and not by the page", t.Src))
	case is != "" && is != t.File():
		panic(fmt.Sprintf("client: Tag.Src is %q, and the others say %q", t.Src, t.File()))
	case t.Integrity && t.Module:
		panic("client: Tag.Integrity is not for a Module: an import has none")
	case t.Integrity && is != "" && !immutable:
		panic(fmt.Sprintf("client: Tag.Integrity needs a Src that changes with the script, and %q does not: use Hashed", t.Src))
	case t.Module && !strings.Contains(t.Src, "://") && !strings.HasPrefix(t.Src, "/") && !strings.HasPrefix(t.Src, "."):
		panic(fmt.Sprintf("client: Tag.Src is %q, which an import takes for the name of a package", t.Src))
	}
}

// File returns the name of the file that Src is the URL of, by Light and Module.
func (t Tag) File() string {
	switch {
	case t.Module && t.Light:
		return LightModule
	case t.Module:
		return Module
	case t.Light:
		return Light
	}
	return Script
}

// beside returns the URL of another file, beside Src and named as it is.
func (t *Tag) beside(name string) string {
	src, _, _ := strings.Cut(t.Src, "?")
	if start, ok := strings.CutSuffix(src, ending(Hashed(t.File()))); ok {
		return start + ending(Hashed(name))
	}
	start, ok := strings.CutSuffix(src, ending(t.File()))
	if !ok {
		panic(fmt.Sprintf("client: Tag.Src is %q, and what is beside it is known only of one that ends in %q", t.Src, ending(t.File())))
	}
	if dot := strings.LastIndexByte(start, '.'); dot >= 0 && isHash(start[dot+1:]) {
		start = start[:dot] // of another version, which has other hashes
	}
	return start + ending(name)
}

// ending returns what is behind the stem of a name, which a host can choose.
func ending(name string) string { return strings.TrimPrefix(name, "_pb") }

type attribute struct{ name, value string }

// open writes the beginning of a script element, without the attributes that are empty.
func open(b *strings.Builder, attributes ...attribute) {
	b.WriteString("<script")
	for _, a := range attributes {
		if a.value != "" {
			b.WriteString(" " + a.name + `="` + html.EscapeString(a.value) + `"`)
		}
	}
}

func (t *Tag) classic(b *strings.Builder) {
	spa := t.SPA
	if spa == "history" {
		spa = "true"
	}
	var props, debug string
	if len(t.Props) > 0 {
		props = string(t.json("Props", t.Props))
	}
	if t.Debug {
		debug = t.beside(Debug)
	}
	open(b, attribute{"src", t.Src}, attribute{"nonce", t.Nonce},
		attribute{"data-endpoint", t.Endpoint}, attribute{"data-token", t.Token}, attribute{"data-consent", t.Consent}, attribute{"data-gpc", t.GPC},
		attribute{"data-origins", strings.Join(t.Origins, " ")}, attribute{"data-reliability", t.Reliability}, attribute{"data-page", t.Page},
		attribute{"data-spa", spa}, attribute{"data-props", props}, attribute{"data-debug", debug})
	t.end(b, t.File())
	if t.Auto {
		open(b, attribute{"src", t.beside(Auto)}, attribute{"nonce", t.Nonce})
		t.end(b, Auto)
	}
}

// end writes the rest of an element whose src is the file.
func (t *Tag) end(b *strings.Builder, name string) {
	if t.Integrity {
		b.WriteString(` integrity="` + Integrity(name) + `" crossorigin="anonymous"`)
	}
	b.WriteString(" async></script>")
}

// module writes an element that imports the script and starts it: a module does not see
// the attributes of the element that it is in.
func (t *Tag) module(b *strings.Builder) {
	options := struct {
		Endpoint    string         `json:"endpoint,omitempty"`
		Token       string         `json:"token,omitempty"`
		Consent     string         `json:"consent,omitempty"`
		GPC         string         `json:"gpc,omitempty"`
		Origins     []string       `json:"origins,omitempty"`
		Reliability string         `json:"reliability,omitempty"`
		Page        string         `json:"page,omitempty"`
		SPA         any            `json:"spa,omitempty"`
		Props       map[string]any `json:"props,omitempty"`
		Debug       string         `json:"debug,omitempty"`
	}{Endpoint: t.Endpoint, Token: t.Token, Consent: t.Consent, GPC: t.GPC, Origins: t.Origins, Reliability: t.Reliability, Page: t.Page, Props: t.Props}
	switch t.SPA {
	case "history":
		options.SPA = true
	case "hash":
		options.SPA = "hash"
	}
	if t.Debug {
		options.Debug = t.beside(Debug)
	}
	open(b, attribute{"type", "module"}, attribute{"nonce", t.Nonce})
	// Go's JSON is JavaScript, and has no "<" that could end the element.
	names := "init"
	if t.Auto {
		names = "init,log"
		fmt.Fprintf(b, ">import{auto}from%s;", t.json("Src", t.beside(AutoModule)))
	} else {
		b.WriteString(">")
	}
	fmt.Fprintf(b, "import{%s}from%s;", names, t.json("Src", t.Src))
	fmt.Fprintf(b, "init(%s);", t.json("Props", options))
	if t.Auto {
		b.WriteString("auto({log});")
	}
	b.WriteString("</script>")
}

func (t *Tag) json(field string, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("client: Tag.%s cannot be written as JSON: %v", field, err))
	}
	return text
}
