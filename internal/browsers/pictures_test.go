package browsers

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/live"
)

// TestPictures makes the pictures of the README, of visits that are made up:
//
//	BEACON_PICTURES=../../docs/images go test -run Pictures .
func TestPictures(t *testing.T) {
	dir := os.Getenv("BEACON_PICTURES")
	if dir == "" {
		t.Skip("BEACON_PICTURES names no directory")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b, s := Start(t, Chromium), newLiveSite(t, live.Check{Name: "spool", Healthy: func(context.Context) error { return nil }})
	if err := s.live.Consume(t.Context(), madeUp(rand.New(rand.NewPCG(1, 5)), time.Now())); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(s.URL+"/_pb", "text/plain", strings.NewReader(strings.Repeat("x", 2<<20)))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	p := s.watch(t, b)
	p.CDP("Emulation.setScrollbarsHidden", object{"hidden": true}, nil)
	p.WaitFor(`return document.querySelectorAll("#rows tr").length >= 8 && document.querySelectorAll("#log > li").length > 20 &&
		document.getElementById("n-rate").textContent !== "0" && document.getElementById("n-refused").textContent === "1" &&
		document.getElementById("n-health").textContent === "ok"`)
	for _, scheme := range []string{"light", "dark"} {
		p.CDP("Emulation.setEmulatedMedia", object{"features": []object{{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}}}, nil)
		picture, err := fewColours(p.Screenshot(1200, 700))
		if err != nil {
			t.Fatal(err)
		}
		if len(picture) > 200<<10 {
			t.Errorf("%s: %d bytes", scheme, len(picture))
		}
		if err := os.WriteFile(filepath.Join(dir, "live-"+scheme+".png"), picture, 0o644); err != nil {
			t.Error(err)
		}
	}
}

// fewColours returns a picture with the 256 colours that it has most of.
func fewColours(data []byte) ([]byte, error) {
	from, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	all := from.Bounds()
	count := map[color.RGBA]int{}
	for y := all.Min.Y; y < all.Max.Y; y++ {
		for x := all.Min.X; x < all.Max.X; x++ {
			count[color.RGBAModel.Convert(from.At(x, y)).(color.RGBA)]++
		}
	}
	var most []color.RGBA
	for c := range count {
		most = append(most, c)
	}
	slices.SortFunc(most, func(a, b color.RGBA) int { return count[b] - count[a] })
	var palette color.Palette
	for _, c := range most[:min(256, len(most))] {
		palette = append(palette, c)
	}
	to := image.NewPaletted(all, palette)
	draw.Draw(to, all, from, all.Min, draw.Src)
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, to)
	return out.Bytes(), err
}

// madeUp has visitors look at pages of a shop and do things there, until a moment ago.
func madeUp(r *rand.Rand, now time.Time) []beacon.Event {
	var all []beacon.Event
	add := func(at time.Time, e beacon.Event) {
		e.Time, e.Received, e.Sent, e.ID = at, at, at, fmt.Sprint(len(all))
		all = append(all, e)
	}
	paths := []string{"/", "/shop/shoes", "/shop/shoes/trail", "/shop/hats", "/cart", "/checkout", "/help/returns"}
	said := []string{`{"msg":"put into the cart","sku":"TR-42"}`, `{"msg":"search","words":"rain hat","found":12}`, `{"msg":"size chosen","size":43}`, `{"msg":"coupon refused","code":"SPRING"}`}
	for i := range 10 {
		key := fmt.Sprintf("%08x%08x", r.Uint32(), r.Uint32())
		at := now.Add(-time.Duration(30+i*52+r.IntN(40)) * time.Second)
		ends := now
		if i%3 == 2 {
			ends = at.Add(time.Duration(60+r.IntN(150)) * time.Second)
		}
		for v := 0; at.Before(ends) && v < 6; v++ {
			view, page := fmt.Sprint(i, "-", v), "https://shop.example"+paths[(i*3+v*(1+i%2))%len(paths)]
			var engaged, seen time.Duration
			start := at
			for seq := 1; seq <= 3+r.IntN(5); seq++ {
				step := time.Duration(9000+r.IntN(20000)) * time.Millisecond
				if at.Add(step).After(ends) {
					at = ends
					break
				}
				at = at.Add(step)
				part := step
				if r.IntN(4) == 0 { // hidden for a while
					part = step / 4
				}
				seen += part
				engaged += part * time.Duration(70+r.IntN(31)) / 100
				add(at, beacon.Event{
					Name: "session", Session: key, View: view, Series: "s:" + view, Seq: uint64(seq), Mode: beacon.ModeReplace, Page: page,
					Body: beacon.JSON(fmt.Sprintf(`{"start":%d,"end":%d,"engaged":%d,"seen":%d}`, start.UnixMilli(), at.UnixMilli(), engaged.Milliseconds(), seen.Milliseconds())),
				})
				if r.IntN(3) == 0 {
					add(at, beacon.Event{Name: "log", Session: key, View: view, Series: "l:" + view, Seq: uint64(seq), Mode: beacon.ModeAppend, Page: page, Body: beacon.JSON(said[r.IntN(len(said))])})
				}
			}
		}
	}
	checkout := "https://shop.example/checkout"
	add(now.Add(-9*time.Second), beacon.Event{Name: "csp-violation", Page: checkout, Body: beacon.Report{Type: "csp-violation", URL: checkout, Body: []byte(`{"effectiveDirective":"script-src-elem"}`)}})
	add(now.Add(-4*time.Second), beacon.Event{Name: "vital", Page: checkout, Body: beacon.JSON(`{"name":"LCP","value":1184}`)})
	add(now.Add(-2*time.Second), beacon.Event{Page: "https://shop.example/newsletter", Body: beacon.Form{{Name: "plan", Value: "monthly"}, {Name: "msg", Value: "signed up"}}})
	slices.SortStableFunc(all, func(a, b beacon.Event) int { return a.Received.Compare(b.Received) })
	return all
}
