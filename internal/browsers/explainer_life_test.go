package browsers

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

// life: what pages do to their beacons while they end, and what of it arrives.
func (x *explainer) life() {
	// A page and what it does; then it goes elsewhere.
	cases := []struct {
		name, script string
		want         map[string]string // path below /mute/life/ and body of what has to come once
		never        []string
	}{
		{"held", `post("held").setData("x")`, map[string]string{"held": "x"}, nil},
		{"the last data", `const b = post("last"); b.setData("one"); b.setData("two"); await sleep(50); b.setData("three")`, map[string]string{"last": "three"}, nil},
		{"out of scope", `post("scope").setData("x"); globalThis.gc?.(); await sleep(50)`, map[string]string{"scope": "x"}, nil},
		{"without data", `globalThis.b = post("nothing")`, nil, []string{"nothing"}},
		{"without data, as Chromium's trial did", `post("empty", {sendEmpty: true})`, map[string]string{"empty": ""}, nil},
		{"data taken back", `const b = post("taken"); b.setData("x"); await sleep(50); b.setData(null)`, nil, []string{"taken"}},
		{"deactivated", `const b = post("deactivated"); b.setData("x"); await sleep(50); b.deactivate()`, nil, []string{"deactivated"}},
		{"deactivated in the last event", `const b = post("undone"); b.setData("x"); addEventListener("pagehide", () => b.deactivate(), true)`, nil, []string{"undone"}},
		{"set in pagehide", `const b = post("pagehide"); b.setData("before"); addEventListener("pagehide", () => b.setData("in pagehide"), true)`, map[string]string{"pagehide": "in pagehide"}, nil},
		{"set for the first time in pagehide", `const b = post("first"); addEventListener("pagehide", () => b.setData("in pagehide"), true)`, map[string]string{"first": "in pagehide"}, nil},
		{"made in pagehide", `addEventListener("pagehide", () => { post("made").setData("x"); new B.PendingGetBeacon("/mute/life/made-get") }, true)`, map[string]string{"made": "x", "made-get": ""}, nil},
		{"made and sent in pagehide", `addEventListener("pagehide", () => { const b = post("sent"); b.setData("x"); b.sendNow() })`, map[string]string{"sent": "x"}, nil},
		{"made in visibilitychange", `document.addEventListener("visibilitychange", () => post("changed").setData("x"))`, map[string]string{"changed": "x"}, nil},
		{"set for the first time in visibilitychange", `const b = post("first-changed"); document.addEventListener("visibilitychange", () => b.setData("x"))`, map[string]string{"first-changed": "x"}, nil},
		{"a series in pagehide", `const s = new B.AppendableBeacon("/mute/life/series?" + x); s.appendData("before"); addEventListener("pagehide", () => s.appendData("in pagehide"), true)`, nil, nil},
		{"pushState meanwhile", `const b = new B.PendingPostBeacon("mute/life/relative"); b.setData("x"); history.pushState(0, "", "/other/place")`, map[string]string{"relative": "x"}, nil},
		{"backgroundTimeout at the end", `const b = post("background", {backgroundTimeout: 600000}); b.setData("x")`, map[string]string{"background": "x"}, nil},
		{"timeout at the end", `const b = post("timeout", {timeout: 600000}); b.setData("x")`, map[string]string{"timeout": "x"}, nil},
	}
	const begin = prelude + `const x = ""; const post = (name, o) => new B.PendingPostBeacon("/mute/life/" + name, o);`
	for _, c := range cases {
		p := x.open("life")
		p.Eval(begin+c.script, nil)
		time.Sleep(50 * time.Millisecond)
		x.leave(p)
	}
	for _, c := range cases {
		x.t.Run(c.name, func(t *testing.T) {
			for name, body := range c.want {
				if got := x.one(t, "/mute/life/"+name); got.Body != body {
					t.Errorf("%s: got %q, want %q", name, got.Body, body)
				}
			}
			for _, name := range c.never {
				x.none(t, "/mute/life/"+name)
			}
		})
	}
	x.t.Run("a series has every item once", func(t *testing.T) {
		x.await(t, "/mute/life/series", 1)
		items := map[int]string{}
		time.Sleep(lull)
		for _, q := range x.requests("/mute/life/series") {
			var envelope struct {
				Ev []struct {
					N int
					D string
				}
			}
			if err := json.Unmarshal([]byte(q.Body), &envelope); err != nil {
				t.Fatalf("%v: %v", q, err)
			}
			for _, e := range envelope.Ev {
				items[e.N] = e.D
			}
		}
		if want := map[int]string{1: "before", 2: "in pagehide"}; fmt.Sprint(items) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", items, want)
		}
	})
	x.t.Run("iframe", x.frames)
	x.t.Run("back", x.back)
}

// frames: a document in a frame that is taken out ends, like any other.
func (x *explainer) frames(t *testing.T) {
	p := x.b.For(t).Open(x.near + "/page?" + x.query + "&frames")
	p.WaitFor(explained)
	p.Eval(`const f = document.createElement("iframe"); f.src = location.href + "&inner"; document.body.append(f);
		await new Promise(done => { f.onload = done });
		const w = f.contentWindow; while (!w.B) await new Promise(done => setTimeout(done, 10));
		w.eval('globalThis.a = new B.PendingPostBeacon("/mute/frames/post"); a.setData("x"); globalThis.b = new B.PendingGetBeacon("/mute/frames/get");' +
			'globalThis.c = new B.AppendableBeacon("/mute/frames/series"); c.appendData("x"); globalThis.d = new B.PendingPostBeacon("/mute/frames/first");' +
			'globalThis.e = new B.PendingPostBeacon("/mute/frames/undone"); e.setData("x"); e.deactivate();' +
			'addEventListener("pagehide", () => d.setData("x"))');
		await new Promise(done => setTimeout(done, 100));
		f.remove()`, nil)
	for _, name := range []string{"post", "get", "first"} {
		x.one(t, "/mute/frames/"+name)
	}
	x.await(t, "/mute/frames/series", 1)
	x.none(t, "/mute/frames/undone")
	p.Close()
}

// back: a page in the back/forward cache has sent what it held, and goes on when it is
// back. Browsers are free not to keep a page.
func (x *explainer) back(t *testing.T) {
	for try := range 5 {
		p := x.b.For(t).Open(x.near + "/page?" + x.query + "&back")
		p.WaitFor(explained)
		path := fmt.Sprint("/mute/back/", try)
		p.Eval(fmt.Sprintf(`globalThis.mark = true; addEventListener("pageshow", e => { globalThis.persisted = e.persisted });
			globalThis.b = new B.PendingPostBeacon("%[1]s"); b.setData("first"); globalThis.s = new B.ReplaceableBeacon("%[1]s/series"); s.replaceData("first")`, path), nil)
		time.Sleep(100 * time.Millisecond)
		p.Navigate(x.near + "/page?" + x.query + "&next")
		p.WaitFor(explained)
		x.await(t, path, 1)
		p.Eval(`history.back()`, nil)
		p.WaitFor(`return location.search.includes("back") && (globalThis.persisted || !globalThis.mark)`)
		var kept bool
		p.Eval(`return !!(globalThis.persisted && globalThis.mark)`, &kept)
		if !kept {
			t.Log("loaded anew")
			p.Close()
			continue
		}
		var got []bool
		p.Eval(`const got = [b.pending, s.pending]; b.setData("second"); s.replaceData("second"); globalThis.n = new B.PendingPostBeacon("`+path+`/new"); n.setData("new"); return [...got, b.pending, s.pending, n.pending]`, &got)
		if want := []bool{false, false, false, true, true}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("pending, when back: %v, want %v", got, want)
		}
		x.leave(p)
		x.one(t, path+"/new")
		if got := x.one(t, path); got.Body != "first" {
			t.Errorf("got %v", got)
		}
		found := ""
		for deadline := time.Now().Add(patience); !strings.Contains(found, `"d":"second"`) && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			found = fmt.Sprint(x.requests(path + "/series"))
			for _, q := range x.requests(path + "/series") {
				found += q.Body
			}
		}
		if !strings.Contains(found, `"d":"second"`) || !strings.Contains(found, `"d":"first"`) {
			t.Errorf("the series: %s", found)
		}
		p.Close()
		return
	}
	t.Error("pages are not kept")
}

// crash kills the process of the page, which only Chromium's can: what the browser
// holds arrives. Elsewhere nothing of the classes alone does.
func (x *explainer) crash() {
	if !x.holds() {
		return
	}
	p := x.open("crash")
	p.Eval(`globalThis.a = new B.PendingPostBeacon("/mute/crash/post"); a.setData("x"); globalThis.b = new B.PendingGetBeacon("/mute/crash/get"); await new Promise(done => setTimeout(done, 200))`, nil)
	p.Crash()
	x.one(x.t, "/mute/crash/post")
	x.one(x.t, "/mute/crash/get")
}
