package browsers

import (
	"reflect"
	"time"
)

// hidden: what a page holds goes when its window is minimized, or another tab comes to
// the front, unless it said that it shall wait. A tab that nobody has looked at holds
// what it has to its end, and leaves it to the next.
func (x *explainer) hidden() {
	const fill = `
		const post = (name, o) => { const b = new B.PendingPostBeacon("/mute/away/" + name, o); b.setData("x"); return b };
		globalThis.held = [post("default"), post("zero", {backgroundTimeout: 0}), post("negative", {backgroundTimeout: -5}),
			new B.PendingGetBeacon("/mute/away/get"), post("hour", {backgroundTimeout: 3600000}), new B.PendingPostBeacon("/mute/away/empty")]`
	names := []string{"default", "zero", "negative", "get", "hour", "empty"}
	sent := []bool{false, false, false, false, true, true} // pending
	p := x.open("hidden")
	p.Eval(fill, nil)
	time.Sleep(100 * time.Millisecond)
	p.Hide()
	for i, pending := range sent {
		if !pending {
			x.one(x.t, "/mute/away/"+names[i])
		}
	}
	var got []bool
	p.Eval(`return held.map(b => b.pending)`, &got)
	if !reflect.DeepEqual(got, sent) {
		x.t.Errorf("pending while hidden: %v, want %v of %v", got, sent, names)
	}
	p.Show()
	p.Eval(`return held.map(b => b.pending)`, &got)
	if !reflect.DeepEqual(got, sent) {
		x.t.Errorf("pending, when shown again: %v, want %v of %v", got, sent, names)
	}
	x.none(x.t, "/mute/away/hour")
	x.leave(p)
	x.one(x.t, "/mute/away/hour")
	x.none(x.t, "/mute/away/empty")

	behind := p.OpenBehind(x.near + "/page?" + x.query + "&behind")
	behind.WaitFor(explained)
	behind.Eval(`if (document.visibilityState !== "hidden") throw new Error("this tab is seen");
		globalThis.b = new B.PendingPostBeacon("/mute/behind"); b.setData("first"); await new Promise(done => setTimeout(done, 200)); b.setData("last")`, nil)
	x.none(x.t, "/mute/behind")
	x.leave(behind)
	// With the store it is left to the next page that sends there.
	x.open("hidden").Eval(`globalThis.b = new B.PendingPostBeacon("/mute/behind")`, nil)
	if got := x.one(x.t, "/mute/behind"); got.Body != "last" {
		x.t.Errorf("a tab in the background sent %v", got)
	}
}
