package beacon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pagebeacon/beacon/internal/wire"
)

// BenchmarkJSON measures validation beside json.Valid, which accepts any bytes in strings
// and bounds no depth, and what it costs for each byte of a text that tries to be expensive.
func BenchmarkJSON(b *testing.B) {
	const size = 64 << 10
	list := func(item string) []byte {
		return []byte("[" + strings.Repeat(item+",", size/(len(item)+1)) + item + "]")
	}
	for _, c := range []struct {
		name string
		text []byte
	}{
		{"j300", benchJ300},
		{"j4k", benchJ4K},
		{"j60k", benchJSON(1100)},
		{"varied", benchVaried(size)},
		{"words", list(`"some words that a person wrote"`)},
		{"text", []byte(`"` + strings.Repeat("some text ", size/10) + `"`)},
		{"cyrillic", []byte(`"` + strings.Repeat("немного текста ", size/28) + `"`)},
		{"numbers", list("1234.5")},
		{"digits", list("0")},
		{"brackets", []byte(strings.Repeat("[", size/2) + strings.Repeat("]", size/2))},
		{"empty", list("[]")},
		{"members", []byte("{" + strings.Repeat(`"":0,`, size/5) + `"":0}`)},
		{"longkey", []byte(`{"` + strings.Repeat("k", size) + `":0}`)},
		{"escapes", []byte(`"` + strings.Repeat(`\n`, size/2) + `"`)},
		{"unicode", []byte(`"` + strings.Repeat(`\u00e9`, size/6) + `"`)},
		{"space", []byte("[" + strings.Repeat(" ", size) + "0]")},
	} {
		b.Run(c.name, func(b *testing.B) {
			benchCPU(b, len(c.text), func() {
				if wire.CheckJSON(c.text, size) != wire.JSONValid {
					b.Fatal("not valid")
				}
			})
		})
		b.Run(c.name+"/stdlib", func(b *testing.B) {
			benchCPU(b, len(c.text), func() { _ = json.Valid(c.text) }) // false for what is deep
		})
	}
}

// benchVaried is what no branch predictor learns by heart, as bodies of many pages are.
func benchVaried(size int) []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	text := func(most int) string {
		return strings.Repeat("some words that a person wrote. ", 4)[:1+rnd.IntN(most)]
	}
	b := []byte("[")
	for len(b) < size {
		b = fmt.Appendf(b, `{%q:%q,%q:%d,%q:[%q,%t],%q:%.2f},`, text(10), text(20), text(6), rnd.IntN(1<<20), text(12), text(80), rnd.IntN(2) == 0, text(8), 1000*rnd.Float64())
	}
	return append(b[:len(b)-1], ']')
}

// BenchmarkEventBack measures what the backlog of a durable sink does for each event, and
// how the JSON form is written, beside encoding/json with a struct of the same members.
func BenchmarkEventBack(b *testing.B) {
	for _, c := range []struct {
		name, contentType string
		body              []byte
	}{
		{"form", "multipart/form-data; boundary=" + benchBoundary, benchMP3},
		{"j300", "text/plain;charset=UTF-8", benchJ300},
		{"j4k", "text/plain;charset=UTF-8", benchJ4K},
	} {
		e := benchEvent(b, c.contentType, c.body)
		text, err := e.AppendJSON(nil)
		if err != nil {
			b.Fatal(err)
		}
		var plain plainEvent
		if err := json.Unmarshal(text, &plain); err != nil {
			b.Fatal(err)
		}
		if again, err := json.Marshal(&plain); err != nil || !bytes.Equal(again, text) {
			b.Fatalf("%v: %s, want %s", err, again, text)
		}
		b.Run(c.name+"/append", func(b *testing.B) {
			benchCPU(b, len(text), func() { text, _ = e.AppendJSON(text[:0]) })
		})
		b.Run(c.name+"/append/stdlib", func(b *testing.B) {
			benchCPU(b, len(text), func() { _, _ = json.Marshal(&plain) })
		})
		b.Run(c.name+"/back", func(b *testing.B) {
			benchCPU(b, len(text), func() {
				if err := new(Event).UnmarshalJSON(text); err != nil {
					b.Fatal(err)
				}
			})
		})
		b.Run(c.name+"/back/stdlib", func(b *testing.B) {
			benchCPU(b, len(text), func() {
				if err := json.Unmarshal(text, new(plainEvent)); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// A plainEvent is what encoding/json would need to write the same.
type plainEvent struct {
	V        int    `json:"v"`
	ID       string `json:"id,omitzero"`
	Time     string `json:"time,omitzero"`
	Received string `json:"received,omitzero"`
	Body     struct {
		Kind   string          `json:"kind"`
		JSON   json.RawMessage `json:"json,omitzero"`
		Fields []struct {
			Name  string `json:"name"`
			Value string `json:"value,omitzero"`
		} `json:"fields,omitzero"`
	} `json:"body"`
	Page    string `json:"page,omitzero"`
	Request struct {
		ID          string `json:"id,omitzero"`
		Method      string `json:"method,omitzero"`
		Host        string `json:"host,omitzero"`
		Path        string `json:"path,omitzero"`
		ContentType string `json:"content_type,omitzero"`
		Origin      string `json:"origin,omitzero"`
		UserAgent   string `json:"user_agent,omitzero"`
		FetchSite   string `json:"fetch_site,omitzero"`
		FetchMode   string `json:"fetch_mode,omitzero"`
		FetchDest   string `json:"fetch_dest,omitzero"`
		ClientIP    string `json:"client_ip,omitzero"`
	} `json:"request,omitzero"`
}
