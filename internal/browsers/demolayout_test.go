package browsers

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// framed serves the demo in a frame of any size, which no engine makes all of its windows.
func framed(t *testing.T, d *demo) string {
	t.Helper()
	target, err := url.Parse(d.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Set("Content-Security-Policy", strings.Replace(r.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'", "frame-ancestors 'self'", 1))
			return nil
		},
	}
	mux := http.NewServeMux()
	mux.Handle("/", proxy)
	mux.HandleFunc("GET /frame", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `<!doctype html><style>body { margin: 0 } iframe { border: 0 }</style><iframe id="demo"></iframe>`)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL
}

// inFrame has what scripts on the page of framed need of the demo.
const inFrame = `const w = document.getElementById("demo").contentWindow, d = w.document, byId = id => d.getElementById(id);
`

// TestDemoLayout: on a phone and on a desk nothing is wider than the screen, beside each
// button is the code that it runs, and what comes of pressing it is in view.
func TestDemoLayout(t *testing.T) {
	for _, engine := range Engines() {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			d, b := startDemo(t), Start(t, engine)
			base := framed(t, d)
			for _, size := range [][2]int{{360, 740}, {1440, 900}} {
				p := b.Open(base + "/frame")
				p.Eval(fmt.Sprintf(`const f = document.getElementById("demo"); f.width = %d; f.height = %d; f.src = "/"`, size[0], size[1]), nil)
				p.WaitFor(inFrame + `return !!w.demo && byId("live").contentDocument?.getElementById("connection")?.textContent === "live"`)
				checkWidth(t, p, size, "at first")
				checkCode(t, p, d)
				p.Eval(inFrame+`byId("consent").checked || byId("consent").click()`, nil)
				p.WaitFor(inFrame + `return w.visit.server().session !== undefined`)
				var kinds []string
				p.Eval(inFrame+`return w.demo.kinds.filter(k => !byId("send-" + k).disabled)`, &kinds)
				if engine == Firefox { // which has pings, switched off
					kinds = slices.DeleteFunc(kinds, func(k string) bool { return k == "ping" })
				}
				for _, kind := range append(kinds, "log", "adhoc") {
					press(t, p, kind)
				}
				p.Eval(inFrame+`for (const e of d.querySelectorAll("details")) e.open = true`, nil)
				checkWidth(t, p, size, "with everything open")
				if size[0] == 360 { // and then, in between
					for _, width := range []int{340, 895, 897, 1055} {
						p.Eval(fmt.Sprintf(inFrame+`document.getElementById("demo").width = %d;
							for (const id of ["elapsed", "engaged", "page-views"]) for (let i = 1; i < 4; i++) byId(id).cells[i].textContent = "12:34.5"`, width), nil)
						p.WaitFor(fmt.Sprintf(inFrame+`return w.innerWidth === %d`, width))
						checkWidth(t, p, [2]int{width}, "with everything open")
					}
					p.Eval(inFrame+`document.getElementById("demo").width = 360`, nil)
					p.WaitFor(inFrame + `return w.innerWidth === 360`)
				}

				// The line leads to the event, and the code that got it.
				p.Eval(inFrame+`byId("latest-line").click()`, nil)
				p.WaitFor(inFrame + `const frame = byId("live"), f = frame.getBoundingClientRect(), page = frame.contentDocument;
					const e = page.querySelector("#log > li details[open] .whole")?.closest("details"), r = e?.getBoundingClientRect();
					return !!e && e.textContent.includes("got.go:") && f.top + r.top >= 0 && f.top + r.top < w.innerHeight - 60 && r.top >= 0`)

				// Without an answer it says so.
				p.Eval(inFrame+`w.fetch = () => Promise.reject(new Error("no answer")); byId("log").click()`, nil)
				p.WaitFor(inFrame + `return byId("latest-line").textContent.startsWith("The server does not answer") && byId("log-status").textContent.startsWith("1 waiting on this device: the server")`)

				// The goodbye of the page is on the next one.
				p.Eval(inFrame+`byId("leave").click()`, nil)
				p.WaitFor(inFrame + `return w.location.pathname === "/left" && d.querySelectorAll(".goodbye").length > 0`)
				var ms float64
				var text string
				p.Eval(inFrame+`return Number(d.querySelector(".goodbye").dataset.ms)`, &ms)
				p.Eval(inFrame+`return d.querySelector(".goodbye").textContent`, &text)
				if ms < -50 || ms > timeout.Seconds()*1e3 || !strings.Contains(text, fmt.Sprintf("%.0f ms", max(0, ms))) ||
					!strings.Contains(text, `"engaged": `) || !strings.Contains(text, "func gotPageView(") {
					t.Errorf("%d px: %g ms after it was left: %s", size[0], ms, text)
				}
				checkWidth(t, p, size, "left")
				p.Close()
			}
		})
	}
}

// press presses a button of the demo, and waits until its effect is seen where the button
// is and in the line that is always in view.
func press(t *testing.T, p *Page, kind string) {
	t.Helper()
	button, state, done := "send-"+kind, "hint-"+kind, "✓"
	switch kind {
	case "log":
		button, state, done = "log", "log-status", "Sent: it arrived"
	case "adhoc":
		state, done = "adhoc-status", "Sent: it arrived"
	}
	p.Eval(inFrame+fmt.Sprintf(`const b = byId(%q);
		for (let e = b; e; e = e.parentElement) if (e.localName === "details") e.open = true;
		b.scrollIntoView({block: "center"});
		globalThis.before = byId("latest-line").textContent;
		byId("latest").classList.remove("new");
		b.click();
		if (b.id === "log") w.beacon.flush()`, button), nil) // it would wait for others
	p.WaitFor(inFrame + fmt.Sprintf(`return byId(%q).textContent.includes(%q) && byId("latest").classList.contains("new")`, state, done))
	var hidden []string
	p.Eval(inFrame+fmt.Sprintf(`return ["latest-line", %q].filter(id => {
			const e = byId(id), r = e.getBoundingClientRect();
			const x = Math.min(r.left + r.width / 2, w.innerWidth - 1), top = d.elementFromPoint(x, r.top + Math.min(10, r.height / 2));
			return r.width === 0 || r.top < 0 || r.bottom > w.innerHeight || r.left < 0 || !top || !(e.contains(top) || top.contains(e));
		})`, button), &hidden)
	if len(hidden) > 0 {
		t.Errorf("%s was pressed, and out of view are %q", kind, hidden)
	}
}

// checkWidth fails t with what is wider than the screen or than what it is in.
func checkWidth(t *testing.T, p *Page, size [2]int, when string) {
	t.Helper()
	var wide []string
	p.Eval(inFrame+`const wide = d => [...d.querySelectorAll("html, body, main, section, li, .code, #latest, .ran")].filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && !e.closest(".scroll"));
		const live = byId("live")?.contentDocument;
		return [...wide(d), ...(live ? wide(live) : [])].map(e => e.outerHTML.slice(0, 100) + " " + e.scrollWidth + " > " + e.clientWidth)`, &wide)
	if len(wide) > 0 {
		t.Errorf("%d px, %s: too wide: %q", size[0], when, wide)
	}
}

// checkCode: what is shown beside a control is in the files of the page, and all have it.
func checkCode(t *testing.T, p *Page, d *demo) {
	t.Helper()
	var files strings.Builder
	flat := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	for _, name := range []string{"", "lines.js", "samples.js", "byhand.js"} {
		res, err := http.Get(d.url + name)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := res.Write(&b); err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		files.WriteString(flat(b.String()) + " ")
	}
	var shown [][2]string
	p.Eval(inFrame+`const all = [...d.querySelectorAll("#kinds li")].map(li => [li.querySelector("button").id, li.querySelector("pre").textContent]);
		for (const e of d.querySelectorAll("[data-code]")) all.push([e.dataset.code, e.textContent]);
		return all`, &shown)
	if len(shown) < 20 {
		t.Errorf("code is beside %d controls", len(shown))
	}
	for _, s := range shown {
		for line := range strings.Lines(s[1]) {
			line, _, _ = strings.Cut(line, " // o") // on, off
			if len(s[1]) < 10 || !strings.Contains(files.String(), flat(line)) {
				t.Errorf("beside %s is what it does not run: %q", s[0], line)
			}
		}
	}
}
