package browsers

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
)

// secure: the interfaces are there in secure contexts only, and nothing is made for a
// URL that is not.
func (x *explainer) secure() {
	p := x.open("secure")
	if !x.alone() {
		x.check(p, []row{
			{"install in a secure context", `
				const names = ["PendingBeacon", ...classes], before = names.filter(n => n in globalThis);
				B.install();
				return [before, names.filter(n => globalThis[n] !== B[n])]`, `[[], []]`},
		})
	}
	p = x.openInsecure()
	x.check(p, []row{
		{"it is none", `return [isSecureContext, location.protocol]`, `[false, "http:"]`},
		{"relative URLs", `return classes.map(c => fails(() => new B[c]("/mute/insecure")))`, `["TypeError", "TypeError", "TypeError", "TypeError"]`},
	})
	if !x.alone() {
		x.check(p, []row{{"install", `B.install(); return ["PendingBeacon", ...classes].filter(n => n in globalThis)`, `[]`}})
	}
	x.leave(p)
	x.none(x.t, "/mute/insecure")
}

// openInsecure opens the page over plain http, from an address that the browser does
// not take for this machine's.
func (x *explainer) openInsecure() *Page {
	x.t.Helper()
	const elsewhere = "http://page.example"
	p, base := x.b.Open("about:blank"), elsewhere
	switch d := x.b.driver.(type) {
	case *chromium:
		x.instead(p, d, elsewhere)
	case *firefox:
		x.insteadBiDi(p, d, elsewhere)
	default:
		near, err := url.Parse(x.near)
		if err != nil {
			x.t.Fatal(err)
		}
		base = "http://[::ffff:127.0.0.1]:" + near.Port() // which leads here all the same
	}
	p.Navigate(base + "/page?" + x.query)
	p.WaitFor(explained)
	return p
}

// instead has requests of p to base answered by the recorder, without a network, which
// Chromium and Firefox are kept from here.
func (x *explainer) instead(p *Page, c *chromium, base string) {
	stop := c.listen(func(m message) {
		var e struct {
			RequestID string
			Request   struct{ Method, URL string }
		}
		if m.Session != p.tab || m.Method != "Fetch.requestPaused" || json.Unmarshal(m.Params, &e) != nil {
			return
		}
		w, headers := x.answer(e.Request.Method, e.Request.URL), []object{}
		for name := range w.Header() {
			headers = append(headers, object{"name": name, "value": w.Header().Get(name)})
		}
		go c.call(context.Background(), p.tab, "Fetch.fulfillRequest", object{
			"requestId": e.RequestID, "responseCode": w.Code, "responseHeaders": headers,
			"body": base64.StdEncoding.EncodeToString(w.Body.Bytes()),
		}, nil)
	})
	x.t.Cleanup(stop)
	p.CDP("Fetch.enable", object{"patterns": []object{{"urlPattern": base + "/*"}}}, nil)
}

// insteadBiDi is the same for Firefox.
func (x *explainer) insteadBiDi(p *Page, f *firefox, base string) {
	stop := f.listen(func(m message) {
		var e struct {
			IsBlocked bool
			Request   struct{ Request, Method, URL string }
		}
		if m.Method != "network.beforeRequestSent" || json.Unmarshal(m.Params, &e) != nil || !e.IsBlocked {
			return
		}
		w, headers := x.answer(e.Request.Method, e.Request.URL), []object{}
		for name := range w.Header() {
			headers = append(headers, object{"name": name, "value": object{"type": "string", "value": w.Header().Get(name)}})
		}
		go f.call(context.Background(), "", "network.provideResponse", object{
			"request": e.Request.Request, "statusCode": w.Code, "reasonPhrase": http.StatusText(w.Code), "headers": headers,
			"body": object{"type": "base64", "value": base64.StdEncoding.EncodeToString(w.Body.Bytes())},
		}, nil)
	})
	x.t.Cleanup(stop)
	p.do("intercept", func(ctx context.Context) error {
		return errors.Join(
			f.call(ctx, "", "session.subscribe", object{"events": []string{"network.beforeRequestSent"}}, nil),
			f.call(ctx, "", "network.addIntercept", object{
				"phases": []string{"beforeRequestSent"}, "contexts": []string{p.tab}, "urlPatterns": []object{{"type": "pattern", "protocol": "http", "hostname": strings.TrimPrefix(base, "http://")}},
			}, nil))
	})
}

func (x *explainer) answer(method, url string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	x.serve(w, httptest.NewRequest(method, url, nil))
	return w
}
