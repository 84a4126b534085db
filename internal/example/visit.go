package example

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// A Page is what a browser knows of a page when it has its tag.
type Page struct {
	p        *Program
	url      string
	Body     string
	Endpoint string
	began    time.Time
	n        int // reports
	id       string
}

var tag = regexp.MustCompile(`<script src="([^"]+)"[^>]* data-endpoint="([^"]+)"`)

// Open does what a browser does with a page: it gets it, and the script that its tag names.
func (p *Program) Open(page string) *Page {
	p.t.Helper()
	body := p.Get(page)
	found := tag.FindStringSubmatch(body)
	if found == nil {
		p.t.Fatalf("%s has no tag:\n%s", page, body)
	}
	at := func(ref string) string {
		base, err := url.Parse(page)
		if err != nil {
			p.t.Fatal(err)
		}
		target, err := base.Parse(html.UnescapeString(ref))
		if err != nil {
			p.t.Fatal(err)
		}
		return target.String()
	}
	if script := p.Get(at(found[1])); !strings.Contains(script, "sendBeacon") {
		p.t.Errorf("%s is not the client:\n%.200s", at(found[1]), script)
	}
	return &Page{p: p, url: page, Body: body, Endpoint: at(found[2]), id: fmt.Sprintf("view-%d", time.Now().UnixNano()), began: time.Now()}
}

// Get returns the body of a 200.
func (p *Program) Get(url string) string {
	p.t.Helper()
	res, err := http.Get(url)
	if err != nil {
		p.t.Fatalf("%v\n%s", err, p.Output())
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: %s, %v\n%s\n%s", url, res.Status, err, body, p.Output())
	}
	return string(body)
}

// Close is the goodbye of a page that was there for a time, and engaged for another, as
// the client sends it.
func (v *Page) Close(session string, here, engaged time.Duration) {
	v.p.t.Helper()
	v.n++
	end := v.began.UnixMilli()
	start := end - here.Milliseconds()
	v.Send("application/json", fmt.Sprintf(`{"v":1,"m":"replace","k":"s:%[2]s","b":"b","r":%[3]d,"sid":%[1]q,"pv":%[2]q,"page":%[4]q,"via":"bye","at":%[6]d,`+
		`"ev":[{"n":%[3]d,"t":%[6]d,"e":"session","d":{"start":%[5]d,"end":%[6]d,"seen":%[7]d,"engaged":%[7]d}}]}`,
		session, v.id, v.n, v.url, start, end, engaged.Milliseconds()))
}

// Send sends a beacon of the page, which has to be taken.
func (v *Page) Send(contentType, body string) {
	v.p.t.Helper()
	r, err := http.NewRequest("POST", v.Endpoint, strings.NewReader(body))
	if err != nil {
		v.p.t.Fatal(err)
	}
	page, err := url.Parse(v.url)
	if err != nil {
		v.p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Origin", page.Scheme+"://"+page.Host)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		v.p.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		v.p.t.Fatalf("%s: %s %s\n%s", v.Endpoint, res.Status, res.Header.Get("Beacon-Refused"), v.p.Output())
	}
}
