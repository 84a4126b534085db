package browsers

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	plain = "text/plain;charset=UTF-8"
	form  = "application/x-www-form-urlencoded;charset=UTF-8"
)

// ways are how a beacon comes to be sent.
var ways = []string{"sendNow", "timeout", "end"}

// payload sends data of every type, in every way, and compares what arrives byte for
// byte: as sendBeacon would have sent it.
func (x *explainer) payload() {
	bodies := []struct {
		name, data  string // data is an expression
		contentType string
		body        string // with the boundary of a form as B
	}{
		{"string", `"a\u0000ü€😀\r\n\ud800&=+"`, plain, "a\x00ü€😀\r\n\ufffd&=+"},
		{"empty-string", `""`, plain, ""},
		{"number", `42`, plain, "42"},
		{"object", `({toString: () => "text"})`, plain, "text"},
		{"ArrayBuffer", `new Uint8Array([0, 255, 128, 10]).buffer`, "", "\x00\xff\x80\n"},
		{"view", `new Uint8Array(new Uint8Array([9, 1, 2, 3, 9]).buffer, 1, 3)`, "", "\x01\x02\x03"},
		{"DataView", `new DataView(new Uint8Array([9, 7, 6]).buffer, 1)`, "", "\x07\x06"},
		{"Uint16Array", `new Uint16Array([258])`, "", "\x02\x01"},
		{"empty-buffer", `new ArrayBuffer(0)`, "", ""},
		{"Blob", `new Blob(["bl", new Uint8Array([0, 254])])`, "", "bl\x00\xfe"},
		{"Blob-text", `new Blob(["typed"], {type: "Text/Plain;Charset=x"})`, "text/plain;charset=x", "typed"},
		{"Blob-JSON", `new Blob(["{\"a\":1}"], {type: "application/json"})`, "application/json", `{"a":1}`},
		{"Blob-own", `new Blob(["own"], {type: "application/x-own"})`, "application/x-own", "own"},
		{"File", `new File(["file"], "name.txt", {type: "text/csv"})`, "text/csv", "file"},
		{"URLSearchParams", `new URLSearchParams([["a b", "ü&="], ["a b", "2"], ["*-._~", "\r\n"]])`, form, "a+b=%C3%BC%26%3D&a+b=2&*-._%7E=%0D%0A"},
		{"URLSearchParams-empty", `new URLSearchParams()`, form, ""},
		{"FormData", `(() => { const f = new FormData(); f.append("a\"b", "1\n2"); f.append("a\"b", "3"); f.append("ü", new Blob([new Uint8Array([0, 200])])); f.append("file", new File(["<x>"], "n\"ame.txt", {type: "text/plain"})); return f })()`,
			"multipart/form-data; boundary=B",
			"--B\r\nContent-Disposition: form-data; name=\"a%22b\"\r\n\r\n1\r\n2\r\n--B\r\nContent-Disposition: form-data; name=\"a%22b\"\r\n\r\n3\r\n" +
				"--B\r\nContent-Disposition: form-data; name=\"ü\"; filename=\"blob\"\r\nContent-Type: application/octet-stream\r\n\r\n\x00\xc8\r\n" +
				"--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"n%22ame.txt\"\r\nContent-Type: text/plain\r\n\r\n<x>\r\n--B--\r\n"},
		{"FormData-empty", `new FormData()`, "multipart/form-data; boundary=B", "--B--\r\n"},
	}
	boundary := regexp.MustCompile(`boundary=(\S+)`)
	for _, way := range ways {
		x.t.Run(way, func(t *testing.T) {
			p := x.open("payload=" + way)
			var b strings.Builder
			b.WriteString(prelude + `globalThis.held = []; const make = (name, data) => {
				const b = new B.PendingPostBeacon("/mute/` + way + `/" + name);
				b.setData("before"); b.setData(data); held.push(b);
				// What the page does to its data afterwards is its own affair.
				if (data instanceof FormData || data instanceof URLSearchParams) data.append("later", "x");
				else if (data.buffer) new Uint8Array(data.buffer).fill(65);
				else if (data instanceof ArrayBuffer) new Uint8Array(data).fill(65);
			};` + "\n")
			for _, c := range bodies {
				fmt.Fprintf(&b, "make(%s, %s);\n", quote(c.name), c.data)
			}
			p.Eval(b.String()+x.send(way), nil)
			if way == "end" {
				x.leave(p)
			}
			for _, c := range bodies {
				t.Run(c.name, func(t *testing.T) {
					got := x.one(t, "/mute/"+way+"/"+c.name)
					contentType, body := got.Header.Get("Content-Type"), got.Body
					if m := boundary.FindStringSubmatch(contentType); m != nil {
						contentType = strings.Replace(contentType, m[1], "B", 1)
						body = strings.ReplaceAll(body, m[1], "B")
					}
					if got.Method != "POST" || contentType != c.contentType || body != c.body {
						t.Errorf("got %s %q %q\nwant POST %q %q", got.Method, contentType, body, c.contentType, c.body)
					}
				})
			}
			t.Run("GET has no body", func(t *testing.T) {
				p := x.open("")
				p.Eval(`const g = new B.PendingGetBeacon("/mute/`+way+`/get?a=%20b+c&a#fragment"); g.setURL("/mute/`+way+`/got?a=%20b+c&a#fragment");
					globalThis.held = [g];`+x.send(way), nil)
				if way == "end" {
					x.leave(p)
				}
				got := x.one(t, "/mute/"+way+"/got")
				if got.Method != "GET" || got.Body != "" || got.URL.RawQuery != "a=%20b+c&a" || got.Header.Get("Content-Type") != "" {
					t.Errorf("got %v", got)
				}
			})
		})
	}
}

// large: bodies that are together, or alone, more than browsers let outlive a page are
// sent while it lives.
func (x *explainer) large() {
	p := x.open("large")
	sizes := []int{60_000, 60_000, 65_536, 65_536, 65_536, 65_537, 1_000_000}
	var script strings.Builder
	for i, size := range sizes {
		fmt.Fprintf(&script, "{ const b = new B.PendingPostBeacon('/mute/large/%d'); b.setData('€' + 'x'.repeat(%d)); b.sendNow() }\n", i, size-3)
	}
	p.Eval(script.String(), nil)
	for i, size := range sizes {
		if got := x.one(x.t, fmt.Sprint("/mute/large/", i)); len(got.Body) != size {
			x.t.Errorf("%d bytes came, want %d", len(got.Body), size)
		}
	}
}

// cookies: those of the site are sent, as by sendBeacon, and to another origin unless
// the page says otherwise. Those that their server keeps from other sites are not.
func (x *explainer) cookies() {
	cases := []struct {
		name, to, options string
		want              bool
	}{
		{"same origin", x.near, `{}`, true},
		{"same origin, same-origin", x.near, `{credentials: "same-origin"}`, true},
		{"same site", x.beside, `{}`, true},
		{"same site, same-origin", x.beside, `{credentials: "same-origin"}`, false},
		{"another site", x.far, `{}`, false},
		{"another site, same-origin", x.far, `{credentials: "same-origin"}`, false},
	}
	for _, way := range ways {
		x.t.Run(way, func(t *testing.T) {
			x.b.For(t).Open(x.far + "/page?cookies-of-the-other-site").Close()
			p := x.open("cookies=" + way)
			for i, c := range cases {
				p.Eval(fmt.Sprintf(`const get = new B.PendingGetBeacon(%[1]s, %[3]s), post = new B.PendingPostBeacon(%[2]s, %[3]s); post.setData("x");
					(globalThis.held ??= []).push(get, post);`, quote(fmt.Sprintf("%s/listed/%s/get%d", c.to, way, i)), quote(fmt.Sprintf("%s/listed/%s/post%d", c.to, way, i)), c.options), nil)
			}
			p.Eval(x.send(way), nil)
			if way == "end" {
				x.leave(p)
			}
			for i, c := range cases {
				for _, method := range []string{"get", "post"} {
					t.Run(c.name+", "+method, func(t *testing.T) {
						got := x.one(t, fmt.Sprintf("/listed/%s/%s%d", way, method, i))
						if has := got.Header.Get("Cookie") == "visitor=v"; has != c.want || !has && got.Header.Get("Cookie") != "" {
							t.Errorf("cookies %q", got.Header["Cookie"])
						}
					})
				}
			}
		})
	}
}

// redirects are followed as fetch follows them: 307 and 308 keep the request, 302 makes
// a GET without a body of it.
func (x *explainer) redirects() {
	for _, way := range ways {
		x.t.Run(way, func(t *testing.T) {
			p := x.open("redirects=" + way)
			type hop struct {
				code     int
				from, to string
				method   string
				body     string
			}
			var hops []hop
			for _, origins := range [][2]string{{x.near, x.near}, {x.near, x.beside}, {x.beside, x.beside}} {
				for _, code := range []int{302, 307, 308} {
					h := hop{code: code, from: origins[0], to: origins[1], method: "POST", body: "kept"}
					if code == 302 {
						h.method, h.body = "GET", ""
					}
					hops = append(hops, h)
				}
			}
			p.Eval(`globalThis.held = []`, nil)
			for i, h := range hops {
				target := fmt.Sprintf("%s/listed/%s/%d", h.to, way, i)
				p.Eval(fmt.Sprintf(`const b = new B.PendingPostBeacon("%s/redirect/%d/%s/%d?to=" + encodeURIComponent(%s)); b.setData("kept"); held.push(b)`,
					h.from, h.code, way, i, quote(target)), nil)
			}
			p.Eval(x.send(way), nil)
			if way == "end" {
				x.leave(p)
			}
			for i, h := range hops {
				t.Run(fmt.Sprintf("%d %v", h.code, [2]bool{h.from == x.near, h.to == x.near}), func(t *testing.T) {
					got := x.one(t, fmt.Sprintf("/listed/%s/%d", way, i))
					if got.Method != h.method || got.Body != h.body {
						t.Errorf("got %v, want %s %q", got, h.method, h.body)
					}
					// A POST of which nothing is left but a GET is none of the page's.
					if n := len(x.requests(fmt.Sprintf("/redirect/%d/%s/%d", h.code, way, i))); n != 1 {
						t.Errorf("asked %d times", n)
					}
				})
			}
		})
	}
}

// cors: a collector of another origin that lists the page's takes beacons of every kind
// once. One that does not refuses them, however often they come. One that takes
// everything and allows nobody to read its answers looks like a server that is away:
// what has no ids is sent to it once, as nobody could tell it from its twin.
func (x *explainer) cors() {
	kinds := []struct{ name, make string }{
		{"get", `new B.PendingGetBeacon(url)`},
		{"text", `filled(new B.PendingPostBeacon(url), "x")`},
		{"json", `filled(new B.PendingPostBeacon(url), new Blob(["{}"], {type: "application/json"}))`},
		{"form", `filled(new B.PendingPostBeacon(url), new FormData())`},
		{"own", `filled(new B.PendingPostBeacon(url, {credentials: "same-origin"}), "x")`},
		{"series", `(b => (b.appendData("x"), b))(new B.AppendableBeacon(url))`},
	}
	origins := map[string]string{"beside": x.beside, "far": x.far}
	each := func(f func(mark, to, way, collector, kind, make string)) {
		for to := range origins {
			for _, way := range ways {
				for _, collector := range []string{"listed", "unlisted", "mute"} {
					for _, k := range kinds {
						f(to+"-"+way+"-"+collector+"-"+k.name, to, way, collector, k.name, k.make)
					}
				}
			}
		}
	}
	for name, origin := range origins {
		for _, way := range ways {
			p := x.open("cors=" + way)
			script := `globalThis.held = []; const filled = (b, data) => (b.setData(data), b); let url;` + "\n"
			each(func(mark, to, of, collector, _, make string) {
				if to == name && of == way {
					script += fmt.Sprintf("url = %s; held.push(%s);\n", quote(fmt.Sprintf("%s/%s/%s?mark=%[3]s", origin, collector, mark)), make)
				}
			})
			p.Eval(script+x.send(way), nil)
			if way == "end" {
				x.leave(p)
			}
		}
	}
	each(func(mark, _, _, collector, _, _ string) {
		if collector == "listed" {
			x.await(x.t, "/listed/"+mark, 1)
		}
	})
	// What is taken to have failed would be tried again within four seconds.
	time.Sleep(4 * time.Second)
	each(func(mark, _, _, collector, kind, _ string) {
		got := x.requests("/" + collector + "/" + mark)
		switch n := len(got); {
		case collector == "listed" && x.events(mark) != 1:
			x.t.Errorf("%s: %d events of %v", mark, x.events(mark), got)
		case collector == "unlisted" && x.events(mark) != 0:
			x.t.Errorf("%s: %d events, which are none of this collector's", mark, x.events(mark))
		case collector == "mute" && kind == "json" && n != 0:
			// It knows no preflight, so what needs one is not sent to it.
			x.t.Errorf("%s: %v", mark, got)
		case collector == "mute" && kind != "json" && n == 0:
			x.t.Errorf("%s: nothing came", mark)
		case collector == "mute" && n > 1 && kind != "series":
			x.t.Errorf("%s: %d requests, want one: %v", mark, n, got)
		}
	})
}

// send is the end of a script that has what it made in held, and lets the page send it.
// For the end of the page it takes that as well.
func (x *explainer) send(way string) string {
	return map[string]string{
		"sendNow": `held.forEach(b => b.sendNow());`,
		"timeout": `held.forEach(b => { b.timeout = 20 });`,
		"end":     `await new Promise(done => setTimeout(done, 100));`,
	}[way]
}
