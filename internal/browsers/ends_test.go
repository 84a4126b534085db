package browsers

import (
	"strings"
	"time"
)

// trial is what an end is given: the browser and where its pages are.
type trial struct {
	s      *store
	b      *Browser
	c      config
	r      *table
	opener *Page // made when it is asked for
}

// An end is a way in which a page comes to its end, tried with trial i, or with as
// many as make a batch from there.
type end struct {
	name   string
	run    func(x *trial, i int)
	batch  int
	twenty bool
	later  bool // judged after the next visit only
}

var ends = []end{
	{name: "close", run: simple(func(x *trial, p *Page) { p.Close() })},
	{name: "popup", run: popup},
	{name: "same-site", run: simple(func(x *trial, p *Page) { leave(p, x.s.near+"/plain") })},
	{name: "cross-site", run: simple(func(x *trial, p *Page) { leave(p, x.s.far+"/plain") })},
	{name: "reload", run: simple(func(x *trial, p *Page) { p.Reload(); p.WaitFor(ready); p.Close() })},
	{name: "frame", run: frame},
	{name: "srcdoc", run: frame},
	{name: "twenty", run: many, twenty: true},
	// All that such a tab gets is pagehide, and what is sent then is often lost in
	// Firefox.
	{name: "background", run: background, later: true},
	{name: "bfcache", run: thereAndBack},
	{name: "away", run: away, batch: origins},
}

// trials are full batches, and each kind of the twenty.
func (e end) trials() int {
	batch := max(1, e.batch)
	if e.twenty {
		batch = 5
	}
	return (trials() + batch - 1) / batch * batch
}

func (x *trial) url(origin, i int) string {
	return x.s.origin(origin) + "/page/" + x.r.mark(i) + "?" + x.c.query
}

// plain returns a page without the script that opens others.
func (x *trial) plain() *Page {
	if x.opener == nil {
		x.opener = x.b.Open(x.s.near + "/plain")
	}
	return x.opener
}

func leave(p *Page, url string) {
	p.Navigate(url)
	time.Sleep(pause(0))
	p.Close()
}

func simple(f func(*trial, *Page)) func(*trial, int) {
	return func(x *trial, i int) {
		p := x.b.Open(x.url(0, i))
		p.WaitFor(ready)
		p.Eval(fillIn("globalThis", x.r.mark(i), 0), nil)
		time.Sleep(pause(i))
		f(x, p)
	}
}

// popup is a window that closes itself.
func popup(x *trial, i int) {
	p := x.plain()
	p.Eval(`document.querySelector("button").value = `+quote(x.url(0, i)), nil)
	p.Click("button")
	p.WaitFor(`return !!(globalThis.popup?.beacon?.init && popup.document.readyState === "complete")`)
	p.Eval(fillIn("popup", x.r.mark(i), 0), nil)
	time.Sleep(pause(i))
	p.Eval(`const w = popup; w.setTimeout(() => w.close())`, nil)
	p.WaitFor(`return popup.closed && !(globalThis.popup = undefined)`)
}

// frame is a frame that is removed, with a URL or without.
func frame(x *trial, i int) {
	p := x.plain()
	content := `f.src = url`
	if x.r.end == "srcdoc" {
		content = `f.srcdoc = await (await fetch(url)).text()`
	}
	p.Eval(`const url = `+quote(x.url(0, i))+`, f = globalThis.f = document.createElement("iframe"); `+content+`; document.body.append(f)`, nil)
	p.WaitFor(`return !!(f.contentWindow.beacon?.init && f.contentDocument.readyState === "complete")`)
	p.Eval(fillIn("f.contentWindow", x.r.mark(i), 0), nil)
	time.Sleep(pause(i))
	p.Eval(`f.remove()`, nil)
}

// many is a page that holds 20 beacons when it is closed.
func many(x *trial, i int) {
	p := x.b.Open(x.url(0, i))
	p.WaitFor(ready)
	p.Eval(strings.NewReplacer("W", "globalThis", "M", quote(x.r.mark(i)), "KIND", quote(kindOfTwenty(i))).Replace(twenty), nil)
	time.Sleep(pause(i))
	p.Close()
}

// background is a tab that is closed before anybody has looked at it.
func background(x *trial, i int) {
	p := x.plain().OpenBehind(x.url(0, i))
	p.WaitFor(ready + ` && document.visibilityState === "hidden"`)
	p.Eval(fillIn("globalThis", x.r.mark(i), 60*time.Millisecond), nil)
	time.Sleep(pause(i))
	p.Close()
}

// thereAndBack is a page that is left, returned to and left again. The browser is
// free not to keep it.
func thereAndBack(x *trial, i int) {
	p := x.b.Open(x.url(0, i))
	for _, turn := range []string{"a.", "b."} {
		p.WaitFor(ready)
		p.Eval(fillIn("globalThis", x.r.mark(i)+turn, 0), nil)
		time.Sleep(pause(i))
		p.Navigate(x.s.near + "/plain")
		if turn == "a." {
			p.Eval(`history.back()`, nil)
			p.WaitFor(`return location.pathname.startsWith("/page/") && ` + strings.TrimPrefix(ready, "return "))
		}
	}
	time.Sleep(pause(i))
	p.Close()
}

// away has pages send while the server hangs up, and waits until it is back.
func away(x *trial, i int) {
	var pages []*Page
	for j := range origins {
		p := x.b.Open(x.url(j, i+j))
		p.WaitFor(ready)
		pages = append(pages, p)
	}
	x.s.away.Store(true)
	for j, p := range pages {
		p.Eval(fillIn("globalThis", x.r.mark(i+j), 0)+`; for (const b of held) b.sendNow()`, nil)
	}
	time.Sleep(500 * time.Millisecond)
	x.s.away.Store(false)
	for _, p := range pages {
		p.Eval(`dispatchEvent(new Event("online"))`, nil)
	}
	time.Sleep(2500 * time.Millisecond) // each returns at a time of its own within two seconds
	for _, p := range pages {
		p.Close()
	}
}

// fillBatch opens pages, each of an origin of its own, as the storage of each has
// room for so much.
func (x *trial) fillBatch(i int) []*Page {
	var pages []*Page
	for j := range origins {
		p := x.b.Open(x.url(j, i+j))
		p.WaitFor(ready)
		p.Eval(fillIn("globalThis", x.r.mark(i+j), 0), nil)
		pages = append(pages, p)
	}
	time.Sleep(pause(1)) // as long as the client may take to store them
	return pages
}

func batches() (starts []int) {
	for i := 0; i < trials(); i += origins {
		starts = append(starts, i)
	}
	return starts
}

func (r *table) addBatch(s *store, i int) {
	for j := range origins {
		for _, kind := range kinds {
			r.add(s, kind, r.mark(i+j))
		}
	}
}
