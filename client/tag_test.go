package client_test

import (
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/pagebeacon/beacon/client"
)

func TestScriptTag(t *testing.T) {
	hashed, light := "/a/"+client.Hashed(client.Script), client.Hashed(client.Light)
	check := ` integrity="` + client.Integrity(client.Script) + `" crossorigin="anonymous"`
	for want, tag := range map[string]client.Tag{
		`<script src="/s.js" async></script>`: {Src: "/s.js"},
		`<script src="/_pb.1.js" nonce="n&amp;1" data-endpoint="/x&#34;&gt;&lt;script&gt;" data-consent="required" data-gpc="flag" async></script>`: {
			Src: "/_pb.1.js", Endpoint: `/x"><script>`, Nonce: "n&1", Consent: "required", GPC: "flag"},
		`<script src="/s.js" data-token="t" data-origins="https://a.example http://[::1]:8080" data-reliability="atLeastOnce" data-page="full" data-spa="hash" async></script>`: {
			Src: "/s.js", Token: "t", Origins: []string{"https://a.example", "http://[::1]:8080"}, Reliability: "atLeastOnce", Page: "full", SPA: "hash"},
		`<script src="/s.js" data-spa="true" data-props="{&#34;a&#34;:[1,null],&#34;b&#34;:&#34;\u003c/script\u003e\u0026#39;&#34;}" async></script>`: {
			Src: "/s.js", SPA: "history", Props: map[string]any{"b": "</script>&#39;", "a": []any{1, nil}}},
		`<script src="` + hashed + `" data-debug="/a/` + client.Hashed(client.Debug) + `"` + check + ` async></script>`: {
			Src: hashed, Debug: true, Integrity: true},
		`<script src="/` + light + `" async></script>`: {Src: "/" + light, Light: true},
		`<script src="/` + light + `" integrity="` + client.Integrity(client.Light) + `" crossorigin="anonymous" async></script>`: {
			Src: "/" + light, Light: true, Integrity: true},
		`<script src="https://cdn.example/lib.js"` + check + ` async></script>`: {
			Src: "https://cdn.example/lib.js", Integrity: true},
		`<script src="` + hashed + `" nonce="n"` + check + ` async></script><script src="/a/` + client.Hashed(client.Auto) + `" nonce="n" integrity="` +
			client.Integrity(client.Auto) + `" crossorigin="anonymous" async></script>`: {Src: hashed, Nonce: "n", Auto: true, Integrity: true},
		`<script nonce="n">` + client.Stub() + `</script><script src="/s.js" nonce="n" async></script>`: {Src: "/s.js", Nonce: "n", Queue: true},
		`<script>` + client.Stub() + `</script><script src="/s.js" async></script>`:                     {Src: "/s.js", Queue: true},
		`<script type="module" nonce="n">import{init}from"/_pb.mjs";init({"endpoint":"/x\u003c"});</script>`: {
			Src: "/_pb.mjs", Endpoint: "/x<", Nonce: "n", Module: true},
		`<script type="module">import{auto}from"/_pb.auto.mjs";import{init,log}from"/_pb.light.mjs";init({"consent":"required","gpc":"flag","origins":["https://a.example"],` +
			`"reliability":"atLeastOnce","page":"none","spa":true,"props":{"a":1},"debug":"/_pb.debug.mjs"});auto({log});</script>`: {
			Src: "/_pb.light.mjs", Module: true, Light: true, Auto: true, Consent: "required", GPC: "flag", Origins: []string{"https://a.example"},
			Reliability: "atLeastOnce", Page: "none", SPA: "history", Props: map[string]any{"a": 1}, Debug: true},
	} {
		if got := client.ScriptTag(tag); string(got) != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

// TestBeside: what a tag loads besides its script is where that is, under the same kind
// of name.
func TestBeside(t *testing.T) {
	_, script, _ := strings.Cut(client.Hashed(client.Script), ".")
	auto := strings.TrimPrefix(client.Hashed(client.Auto), "_pb")
	for src, want := range map[string]string{
		"/_pb.js": "/_pb.auto.js", "/x/pb.js": "/x/pb.auto.js", "own.js": "own.auto.js", "https://cdn.example/v1.2/own.js?v=2": "https://cdn.example/v1.2/own.auto.js",
		"/a/own." + script: "/a/own" + auto, "/a/own." + script + "?v=2": "/a/own" + auto, "/_pb.00000000.js": "/_pb.auto.js",
	} {
		got := string(client.ScriptTag(client.Tag{Src: src, Auto: true}))
		if !strings.Contains(got, `src="`+want+`"`) {
			t.Errorf("%s: %s, want %s", src, got, want)
		}
	}
}

func TestScriptTagRefused(t *testing.T) {
	for want, tag := range map[string]client.Tag{
		"client: Tag.Src is empty":                              {},
		`client: Tag.Consent is "Required", not one of`:         {Src: "/s.js", Consent: "Required"},
		`client: Tag.Consent is "denied", not one of`:           {Src: "/s.js", Consent: "denied"},
		`client: Tag.GPC is "on", not one of`:                   {Src: "/s.js", GPC: "on"},
		`client: Tag.Page is "false", not one of`:               {Src: "/s.js", Page: "false"},
		`client: Tag.SPA is "true", not one of`:                 {Src: "/s.js", SPA: "true"},
		`client: Tag.Reliability is "atleastonce", not one of`:  {Src: "/s.js", Reliability: "atleastonce"},
		`client: Tag.Origins has "a.example"`:                   {Src: "/s.js", Origins: []string{"a.example"}},
		`client: Tag.Origins has "https://a.example/"`:          {Src: "/s.js", Origins: []string{"https://b.example", "https://a.example/"}},
		`client: Tag.Origins has "https://a.example,b"`:         {Src: "/s.js", Origins: []string{"https://a.example,b"}},
		`client: Tag.Origins has "https://me@a.example"`:        {Src: "/s.js", Origins: []string{"https://me@a.example"}},
		`client: Tag.Origins has "https://a.example:443"`:       {Src: "/s.js", Origins: []string{"https://a.example:443"}},
		`client: Tag.Origins has "https://A.example"`:           {Src: "/s.js", Origins: []string{"https://A.example"}},
		`client: Tag.Origins has "https://*.a.example"`:         {Src: "/s.js", Origins: []string{"https://*.a.example"}},
		`client: Tag.Origins has "*"`:                           {Src: "/s.js", Origins: []string{"*"}},
		`client: Tag.Props cannot be written as JSON`:           {Src: "/s.js", Props: map[string]any{"a": math.Inf(1)}},
		`client: Tag.Src is "/_pb.js", and the others say`:      {Src: "/_pb.js", Light: true},
		`client: Tag.Src is "/_pb.mjs", and the others say`:     {Src: "/_pb.mjs"},
		`client: Tag.Src is "/_pb.core.mjs", and the`:           {Src: "/_pb.core.mjs", Module: true},
		`client: Tag.Src is "_pb.mjs", which an import`:         {Src: "_pb.mjs", Module: true},
		`client: Tag.Integrity is not for a Module`:             {Src: "/" + client.Hashed(client.Module), Module: true, Integrity: true},
		`client: Tag.Integrity needs a Src that changes`:        {Src: "/_pb.js", Integrity: true},
		`client: Tag.Integrity needs a Src that changes with`:   {Src: "/_pb.00000000.js", Integrity: true},
		`client: Tag.Integrity needs a Src that changes wi`:     {Src: "/_pb.js?v=1", Integrity: true},
		`client: Tag.Src is "/_pb.mjs?v=1", and the others say`: {Src: "/_pb.mjs?v=1"},
		`client: Tag.Src is "s.js", and Debug needs one`:        {Src: "s.js", Debug: true},
		`client: Tag.Src is "./s.mjs", and Debug needs one`:     {Src: "./s.mjs", Module: true, Debug: true},
		`client: Tag.Src is "/s", and what is beside it is kno`: {Src: "/s", Auto: true},
		`client: Tag.Src is "/s.txt", and what is beside it is`: {Src: "/s.txt", Debug: true},
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.HasPrefix(got, want) {
					t.Errorf("panic %q, want %q", got, want)
				}
			}()
			client.ScriptTag(tag)
		}()
	}
}

// TestStub: the hash that policies name is of what the element holds.
func TestStub(t *testing.T) {
	tag := string(client.ScriptTag(client.Tag{Src: "/s.js", Queue: true}))
	inline, _, _ := strings.Cut(strings.TrimPrefix(tag, "<script>"), "</script>")
	sum := sha512.Sum384([]byte(inline))
	if want := "sha384-" + base64.StdEncoding.EncodeToString(sum[:]); inline == "" || client.StubIntegrity() != want {
		t.Errorf("%s, want %s of %q", client.StubIntegrity(), want, inline)
	}
	if strings.ContainsAny(client.Stub(), "<&\n") {
		t.Errorf("not fit to stand in a page: %q", client.Stub())
	}
}
