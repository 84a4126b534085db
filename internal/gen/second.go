package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// second minifies a script once more: in a bundle each module is still by itself.
func second(script string, identifiers bool) ([]byte, error) {
	format := api.FormatDefault
	if identifiers {
		format = api.FormatESModule // or those of a script would be everybody's
	}
	r := api.Transform(script, api.TransformOptions{
		Format:            format,
		Target:            api.ES2022,
		Charset:           api.CharsetUTF8,
		MinifyWhitespace:  true,
		MinifyIdentifiers: identifiers,
		MinifySyntax:      true,
	})
	if len(r.Errors) > 0 {
		return nil, errors.New(api.FormatMessages(r.Errors, api.FormatMessagesOptions{})[0])
	}
	return r.Code, nil
}

// flat makes esbuild's choice of letters the same for all scripts, whatever letters they
// are written in: a string with many more of them, of each another number.
var flat = func() string {
	var s strings.Builder
	for i, c := range "etnosriacldupmhfgybvwkxTSqjzCAPIDOMELNRFBHUGWVJKYXQZ0123456789$_" {
		s.WriteString(strings.Repeat(string(c), 200*(70-i)))
	}
	return s.String()
}()

// canonical returns script with names that depend on nothing but what they refer to.
func canonical(script []byte) ([]byte, error) {
	simple, err := second(string(script), false)
	if err != nil {
		return nil, err
	}
	return second(fmt.Sprintf("%s\n;globalThis.x=%q", simple, flat), true)
}
