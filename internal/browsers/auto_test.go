package browsers

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon/client"
)

// autoPage has what a delegated listener may stumble over. Its own listeners keep it
// from being left, and stop the events before they come to the top.
const autoPage = `<!doctype html><title>auto</title>
<base href="/dir/">
<a id="out" href="https://user:secret@other.example/path?token=1#part"><b id="child">out</b></a>
<a id="near" href="/next?x">near</a>
<a id="mail" href="mailto:jo@example.com?subject=hello">mail</a>
<a id="save" href="report" download>save</a>
<a id="pdf" href="/files/a.pdf?key=1">pdf</a>
<svg width="80" height="30"><a href="https://svg.example/x?y"><rect id="svg" width="80" height="30"/></a></svg>
<svg width="80" height="30" xmlns:xlink="http://www.w3.org/1999/xlink"><a xlink:href="https://xlink.example/x?y"><rect id="xlink" width="80" height="30"/></a></svg>
<img id="img" usemap="#map" width="40" height="40" src="data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==">
<map name="map"><area shape="rect" coords="0,0,40,40" href="https://area.example/x?y"></map>
<p><label id="label" data-beacon-event="terms">I <i id="text">agree</i> <input type="checkbox" id="box"></label>
<p><button id="marked" data-beacon-event="signup" data-beacon-plan-name="pro"><i id="inmarked">sign up</i></button>
<p data-beacon-event=""><a id="silent" href="https://silent.example/">silent</a>
<div id="open"></div><div id="closed"></div>
<form id="form" action="/login?next=secret"><input name="getAttribute" value="secret"><input name="matches"><input name="nodeType"><input name="id" value="secret"><input name="action">
	<button id="send">send</button></form>
<script>
	globalThis.logged = [];
	globalThis.beacon = { log: (msg, data) => logged.push([msg, data]) };
	globalThis.errors = 0;
	addEventListener("error", () => errors++);
	const within = '<a id="link" href="https://shadow.example/x?y">link</a><form action="/shadow?x"><input id="field"><button id="send">send</button></form>';
	for (const mode of ["open", "closed"]) {
		const root = document.getElementById(mode).attachShadow({ mode });
		root.innerHTML = within;
		globalThis[mode + "Root"] = root;
		root.addEventListener("submit", e => e.preventDefault());
		root.addEventListener("click", e => e.target.id === "link" && e.preventDefault());
	}
	for (const type of ["click", "auxclick", "submit"]) document.body.addEventListener(type, e => {
		if (type === "submit" || e.composedPath().some(el => el.localName === "a" || el.localName === "area")) e.preventDefault();
		e.stopImmediatePropagation();
	});
</script>
<script src="/auto.js" data-colour="red" async></script>`

// TestAutomaticEvents clicks and submits, as visitors and as scripts do.
func TestAutomaticEvents(t *testing.T) {
	script, err := os.ReadFile("../../client/dist/auto.min.js")
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/auto.js" {
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = w.Write(script)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, autoPage)
	}))
	t.Cleanup(srv.Close)
	each(t, func(t *testing.T, b *Browser, _ *site) {
		p := b.Open(srv.URL + "/page?q=secret")
		p.WaitFor(`return globalThis[Symbol.for("beacon.auto")] !== undefined && document.readyState === "complete"`)
		expect := func(what, want string) {
			t.Helper()
			var got string
			p.Eval(`await new Promise(done => setTimeout(done, 50)); return JSON.stringify(logged.splice(0))`, &got)
			if diff := cmp.Diff(strings.ReplaceAll(want, "ORIGIN", srv.URL), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
		for _, tt := range []struct{ on, want string }{
			{"out", `[["outbound",{"url":"https://other.example/path"}]]`},
			{"child", `[["outbound",{"url":"https://other.example/path"}]]`},
			{"near", `[]`},
			{"mail", `[["outbound",{"url":"mailto:"}]]`},
			{"save", `[["download",{"url":"ORIGIN/dir/report"}]]`},
			{"pdf", `[["download",{"url":"ORIGIN/files/a.pdf"}]]`},
			{"svg", `[["outbound",{"url":"https://svg.example/x"}]]`},
			{"xlink", `[["outbound",{"url":"https://xlink.example/x"}]]`},
			{"img", `[["outbound",{"url":"https://area.example/x"}]]`},
			{"text", `[["terms",{}]]`}, // the browser clicks the box too
			{"box", `[["terms",{}]]`},
			{"inmarked", `[["signup",{"planName":"pro"}]]`},
			{"silent", `[]`},
			{"send", `[["form",{"id":"form","action":"ORIGIN/login"}]]`},
		} {
			p.Click("#" + tt.on)
			expect("click on "+tt.on, tt.want)
		}
		p.Eval(`openRoot.querySelector("#link").click()`, nil)
		expect("link in a shadow tree", `[["outbound",{"url":"https://shadow.example/x"}]]`)
		p.Eval(`openRoot.querySelector("#send").click()`, nil)
		expect("form in a shadow tree", `[["form",{"action":"ORIGIN/shadow"}]]`)
		p.Eval(`closedRoot.querySelector("#link").click(); closedRoot.querySelector("#send").click()`, nil)
		expect("what is closed stays so", `[]`)
		p.Eval(`document.querySelector("#out").dispatchEvent(new MouseEvent("auxclick", {button: 1, bubbles: true, cancelable: true, composed: true}))`, nil)
		expect("middle button", `[["outbound",{"url":"https://other.example/path"}]]`)
		p.Eval(`document.querySelector("#out").dispatchEvent(new MouseEvent("auxclick", {button: 2, bubbles: true, cancelable: true, composed: true}))`, nil)
		expect("right button", `[]`)
		// What was not there when the script started.
		p.Eval(`document.body.insertAdjacentHTML("beforeend", '<a id="later" href="https://later.example/"></a>'); document.querySelector("#later").click()`, nil)
		expect("later", `[["outbound",{"url":"https://later.example/"}]]`)
		var errors int
		if p.Eval(`return errors`, &errors); errors != 0 {
			t.Errorf("%d errors came to the page", errors)
		}
	})
}

// TestAutomaticEventArrives follows a link away from the page, which nothing holds up,
// and the event of it is stored.
func TestAutomaticEventArrives(t *testing.T) {
	script, err := os.ReadFile("../../client/dist/auto.min.js")
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, b *Browser, _ *site) {
		s, h := newSink(t)
		srv := httptest.NewServer(h.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/auto.js":
				w.Header().Set("Content-Type", "text/javascript")
				_, _ = w.Write(script)
			case "/page":
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				// In this order: the client comes after what tells it.
				fmt.Fprintf(w, `<!doctype html><script src="/auto.js"></script><a href="http://localhost:%s/away?secret">away</a>%s`,
					r.Host[strings.LastIndexByte(r.Host, ':')+1:], h.ScriptTag(client.Tag{}))
			default:
				fmt.Fprint(w, "away")
			}
		})))
		t.Cleanup(srv.Close)
		p := b.Open(srv.URL + "/page")
		p.WaitFor(ready)
		p.Click("a")
		p.WaitFor(`return location.pathname === "/away"`)
		p.Close()
		s.eventually(t, 1, `"msg":"outbound"`, 10*time.Second)
		s.eventually(t, 0, "secret", 0)
	})
}
