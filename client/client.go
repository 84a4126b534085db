// Package client holds the browser client: a script that gives pages the stateful
// page-unload beacon API (PendingGetBeacon, PendingPostBeacon, AppendableBeacon,
// ReplaceableBeacon) in every current browser, and session durations without a line
// of code.
//
// The files are embedded; there is nothing to build or to fetch from elsewhere. A
// page needs one element,
//
//	<script src="/_pb.js" async></script>
//
// which does with static HTML too, and which beacon.Handler.ScriptTag writes with the
// options and with a URL that browsers keep for good. beacon.Handler.Middleware serves
// the script beside the endpoint, or mount [Handler] where you like:
//
//	mux.Handle("/assets/", client.Handler())
//
// It knows a file by the last element of the path, so also under the name that
// beacon.Handler.ScriptURL has for it. Pages import the ES modules by URL, as in
//
//	import { init, log } from "/_pb.mjs"
package client

import (
	"crypto/sha512"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
)

//go:embed dist
var dist embed.FS

// The files that [Handler] serves.
const (
	Script      = "_pb.js"        // the classic script: starts by itself, global name beacon
	Module      = "_pb.mjs"       // the same as an ES module, to be started with init
	Core        = "_pb.core.mjs"  // the beacon classes alone, as an ES module
	Light       = "_pb.light.js"  // the classic script without the store that outlives a page
	LightModule = "_pb.light.mjs" // the same as an ES module
	Auto        = "_pb.auto.js"   // automatic events, besides one of the classic scripts
	AutoModule  = "_pb.auto.mjs"  // the same as an ES module
	Debug       = "_pb.debug.mjs" // the long texts of warnings, which [Tag.Debug] loads
)

var sources = map[string]string{
	Script: "beacon.min.js", Module: "beacon.min.mjs", Core: "core.min.mjs",
	Light: "beacon.light.min.js", LightModule: "beacon.light.min.mjs",
	Auto: "auto.min.js", AutoModule: "auto.min.mjs", Debug: "debug.min.mjs",
}

// Files returns the names of all of them, sorted.
func Files() []string {
	names := make([]string, 0, len(files()))
	for name := range files() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// A file is one of them as it is served.
type file struct {
	hash      string // first 8 hex digits of its SHA-384
	integrity string
	as        [len(codings)]representation
}

// A representation is a file in one coding.
type representation struct {
	body []byte
	etag string // of this body: those of one file differ
}

// files reads the embedded files once, by name.
var files = sync.OnceValue(func() map[string]file {
	m := map[string]file{}
	for name, source := range sources {
		var f file
		for i, c := range codings {
			body := read(source + c.ending)
			sum := sha512.Sum384(body)
			f.as[i] = representation{body, `"` + hex.EncodeToString(sum[:8]) + `"`}
			if c.ending == "" {
				f.hash, f.integrity = hex.EncodeToString(sum[:4]), integrity(body)
			}
		}
		m[name] = f
	}
	return m
})

func read(source string) []byte {
	b, err := dist.ReadFile("dist/" + source)
	if err != nil {
		panic(err) // embedded, so it is there
	}
	return b
}

func integrity(b []byte) string {
	sum := sha512.Sum384(b)
	return "sha384-" + base64.StdEncoding.EncodeToString(sum[:])
}

func get(name string) file {
	f, ok := files()[name]
	if !ok {
		panic(fmt.Sprintf("client: no file %q", name))
	}
	return f
}

// Hashed returns the name of a file with the hash of its content in it, as in
// "_pb.0a1b2c3d.js". It panics if there is no such file.
func Hashed(name string) string {
	dot := strings.LastIndexByte(name, '.')
	return name[:dot] + "." + get(name).hash + name[dot:]
}

// Integrity returns the value of a script's integrity attribute (Subresource
// Integrity), whatever coding it is served in. It panics if there is no such file.
func Integrity(name string) string { return get(name).integrity }

// Stub is a script to stand in a page before the element of the client, which writes
// it with [Tag.Queue]: what the page calls of the global beacon until the client is
// there waits, in order, and functions that it took from there go on working. Where the
// client never comes, since the browser is too old or something blocks it, they do
// nothing.
func Stub() string { return stub() }

// StubIntegrity returns the hash of [Stub], for policies that allow inline scripts by
// hash: script-src 'sha384-…', in quotes.
func StubIntegrity() string { return integrity([]byte(stub())) }

var stub = sync.OnceValue(func() string { return string(read("stub.js")) })

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
