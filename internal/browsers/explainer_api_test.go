package browsers

// What the classes are and refuse, which needs no network.
func (x *explainer) api() {
	p := x.open("api")
	x.check(p, []row{
		{"PendingBeacon is abstract", `return fails(() => new B.PendingBeacon("/x"))`, `"TypeError"`},
		{"classes are not functions", `return classes.map(c => fails(() => B[c]("/x")))`, `["TypeError", "TypeError", "TypeError", "TypeError"]`},
		{"all are PendingBeacons", `return classes.every(c => { const b = new B[c]("/listed/never"); b.deactivate(); return b instanceof B.PendingBeacon })`, `true`},

		// The nine cases of the last version of the explainer's tests, and ours.
		{"URLs that are refused", `
			const urls = [undefined, null, "http://example.com", "ftp://example.com", "file://tmp", "data:text/plain,x", "javascript:0", "about:blank", "https://", "https://[", "https://a:b/",
				"ws://127.0.0.1/", "blob:" + location.origin + "/x", "http://127.0.0.1.example.com/", "http://localhost@example.com/", "//[::2"];
			const bad = [];
			for (const url of urls) {
				for (const c of classes) if (fails(() => new B[c](url)) !== "TypeError") bad.push([c, url]);
				const b = new B.PendingGetBeacon("/listed/never");
				if (fails(() => b.setURL(url)) !== "TypeError" || b.url !== "/listed/never") bad.push(["setURL", url]);
				b.deactivate();
			}
			for (const c of classes) if (fails(() => new B[c]()) !== "TypeError") bad.push([c]);
			return bad`, `[]`},
		{"URLs that are taken are given back as they were", `
			const urls = ["/", "", "x?y#z", "?q", "//example.com/a", "https://example.com", "HTTPS://EXAMPLE.com/%7e", "http://127.0.0.1:1/", "http://localhost/"];
			const bad = [];
			for (const url of urls) {
				for (const c of classes) { const b = new B[c](url); if (b.url !== url) bad.push([c, url, b.url]); b.deactivate() }
				const b = new B.PendingGetBeacon("/listed/never");
				b.setURL(url);
				if (b.url !== url) bad.push(["setURL", url, b.url]);
				b.deactivate();
			}
			return bad`, `[]`},
		{"a URL object is taken as text", `const b = new B.PendingPostBeacon(new URL("https://example.com/a b")); return b.url`, `"https://example.com/a%20b"`},
		{"setURL after the end does nothing", `const b = new B.PendingGetBeacon("/listed/never"); b.deactivate(); b.setURL("/other"); return b.url`, `"/listed/never"`},
		{"setURL is of GET alone", `return [typeof new B.PendingPostBeacon("/x").setURL, fails(() => new B.PendingPostBeacon("/x").setURL("/y"))]`, `["undefined", "TypeError"]`},
		{"setData is of POST alone", `
			const b = new B.PendingGetBeacon("/listed/never"); b.deactivate();
			return [typeof b.setData, fails(() => b.setData("x"))]`, `["undefined", "TypeError"]`},
		{"setData of a stream", `
			const b = new B.PendingPostBeacon("/listed/never"); b.setData("before");
			const got = fails(() => b.setData(new ReadableStream())); const {pending} = b; b.deactivate(); return [got, pending]`, `["TypeError", true]`},

		{"immutable properties, strict", `
			return ["PendingGetBeacon", "PendingPostBeacon"].map(c => { const b = new B[c]("/listed/never");
				const got = ["url", "method", "pending"].map(name => fails(() => { b[name] = 1 })); const {url, method, pending} = b; b.deactivate(); return [...got, url, method, pending] })`,
			`[["TypeError", "TypeError", "TypeError", "/listed/never", "GET", true], ["TypeError", "TypeError", "TypeError", "/listed/never", "POST", true]]`},
		{"immutable properties, sloppy", `
			const b = new B.PendingPostBeacon("/listed/never");
			const sloppy = (b, name) => { const f = (0, eval)("(function (b, name) { b[name] = 1 })"); return fails(() => f(b, name)) };
			return [...["url", "method", "pending"].map(name => sloppy(b, name)), b.url, b.method, b.pending]`, `["", "", "", "/listed/never", "POST", true]`},
		{"properties are of the prototype", `
			const b = new B.PendingPostBeacon("/listed/never");
			return ["url", "method", "pending", "timeout", "backgroundTimeout", "sendNow", "deactivate"].filter(n => !(n in B.PendingBeacon.prototype) || Object.hasOwn(b, n))`, `[]`},
		{"nothing of it is listed", `return Object.keys(new B.PendingPostBeacon("/listed/never")).filter(n => ["url", "method", "pending", "timeout", "backgroundTimeout"].includes(n))`, `[]`},
		{"a method among the options is ignored", `
			const g = new B.PendingGetBeacon("/listed/never", {method: "POST", url: "/y", pending: false}); const got = [g.method, g.url, g.pending]; g.deactivate();
			return [...got, new B.PendingPostBeacon("/x", {method: "GET"}).method]`, `["GET", "/listed/never", true, "POST"]`},

		{"defaults", `return [[], [{}], [null], [undefined], [{timeout: undefined, backgroundTimeout: undefined}]].map(o => { const b = new B.PendingPostBeacon("/x", ...o); return [b.timeout, b.backgroundTimeout] })`,
			`[[-1, -1], [-1, -1], [-1, -1], [-1, -1], [-1, -1]]`},
		{"timeouts are long, as options", `return [1.9, -1.9, "42", 4294967301, 2147483648, NaN, null, true, Infinity].map(n => { const b = new B.PendingPostBeacon("/x", {timeout: n, backgroundTimeout: n}); return [b.timeout, b.backgroundTimeout] })`,
			`[[1, 1], [-1, -1], [42, 42], [5, 5], [-2147483648, -2147483648], [0, 0], [0, 0], [1, 1], [0, 0]]`},
		{"timeouts are long, as assigned", `return [1.9, -1.9, "42", 4294967301, 2147483648, NaN, null, true, Infinity].map(n => { const b = new B.PendingPostBeacon("/x"); b.timeout = b.backgroundTimeout = n; return [b.timeout, b.backgroundTimeout] })`,
			`[[1, 1], [-1, -1], [42, 42], [5, 5], [-2147483648, -2147483648], [0, 0], [0, 0], [1, 1], [0, 0]]`},
		{"timeouts are fixed when it is over", `const b = new B.PendingPostBeacon("/x", {timeout: 7}); b.deactivate(); b.timeout = 8; b.backgroundTimeout = 9; return [b.timeout, b.backgroundTimeout]`, `[7, -1]`},

		{"pending from the start, without data too", `return ["PendingGetBeacon", "PendingPostBeacon"].map(c => { const b = new B[c]("/listed/never"); const {pending} = b; b.deactivate(); return pending })`, `[true, true]`},
		{"pending ends within deactivate", `return ["PendingGetBeacon", "PendingPostBeacon"].map(c => { const b = new B[c]("/listed/never"); b.deactivate(); const {pending} = b; b.deactivate(); b.sendNow(); return [pending, b.pending] })`,
			`[[false, false], [false, false]]`},
		{"pending ends within sendNow", `return ["PendingGetBeacon", "PendingPostBeacon"].map(c => { const b = new B[c]("/mute/once"); b.setData?.("x"); b.sendNow(); const {pending} = b; b.sendNow(); b.deactivate(); return [pending, b.pending] })`,
			`[[false, false], [false, false]]`},
		{"sendNow without data", `const b = new B.PendingPostBeacon("/listed/never"); b.sendNow(); const {pending} = b; b.setData("late"); return [pending, b.pending]`, `[false, false]`},
		{"data after deactivate", `const b = new B.PendingPostBeacon("/listed/never"); b.setData("x"); b.deactivate(); b.setData("y"); return b.pending`, `false`},
		{"data taken back", `
			const bad = []; for (const none of [null, undefined]) {
				const b = new B.PendingPostBeacon("/listed/never", {timeout: 50}); b.setData("x"); b.setData(none); await sleep(400); if (!b.pending) bad.push(none); b.sendNow() }
			return bad`, `[]`},
		{"a series: pending is what was not sent", `
			return ["AppendableBeacon", "ReplaceableBeacon"].map(c => { const b = new B[c]("/mute/series"); const put = d => (b.appendData ?? b.replaceData).call(b, d);
				const got = [b.pending]; put(1); got.push(b.pending); b.sendNow(); got.push(b.pending); put(2); got.push(b.pending); b.deactivate(); put(3); got.push(b.pending); return got })`,
			`[[false, true, false, true, false], [false, true, false, true, false]]`},
		{"a series takes what JSON does", `const b = new B.AppendableBeacon("/listed/never"); const got = [fails(() => b.appendData(1n)), b.pending]; b.deactivate(); return got`, `["TypeError", false]`},
		{"a value has a limit", `const b = new B.ReplaceableBeacon("/listed/never"); const got = [fails(() => b.replaceData("x".repeat(60000))), b.pending]; b.deactivate(); return got`, `["RangeError", false]`},
	})
	// The two that were sent, and nothing else of all this, also when the page ends.
	x.await(x.t, "/mute/once", 2)
	x.await(x.t, "/mute/series", 2)
	x.leave(p)
	x.none(x.t, "/listed/never")
	if got := x.requests("/mute/once"); len(got) != 2 {
		x.t.Errorf("want one of each: %v", got)
	}
}
