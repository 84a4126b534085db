package browsers

// The timers of the explainer. A lower bound holds however slow the machine is; an
// upper one is patience and no more.
func (x *explainer) timers() {
	p := x.open("timers")
	x.check(p, []row{
		{"timeout, as option", timed(`new B.PendingGetBeacon("/mute/timers/option", {timeout: 300})`, `0`, 300), `"in time"`},
		{"timeout, assigned", timed(`new B.PendingGetBeacon("/mute/timers/assigned")`, `b.timeout = 300`, 300), `"in time"`},
		{"timeout, a series", timed(`new B.AppendableBeacon("/mute/timers/series", {timeout: 300})`, `b.appendData(1)`, 300), `"in time"`},
		{"timeout 0", `const b = new B.PendingGetBeacon("/mute/timers/zero", {timeout: 0}); const {pending} = b; return [pending, await until(b) >= 0]`, `[true, true]`},
		{"timeout 0, assigned", `const b = new B.PendingGetBeacon("/mute/timers/zero-assigned"); b.timeout = 0; const {pending} = b; return [pending, await until(b) >= 0]`, `[true, true]`},
		{"no timeout", `const b = new B.PendingGetBeacon("/mute/timers/none", {timeout: 200}); b.timeout = -7; await sleep(1200); const {pending} = b; b.sendNow(); return pending`, `true`},
		{"timeout starts again when it is set", `
			for (;;) { // again, if this machine was too slow
				const b = new B.PendingGetBeacon("/mute/timers/again", {timeout: 1000}); await sleep(400); if (!b.pending) continue;
				const t = performance.now(); b.timeout = 1000; return await until(b, 15000, t) >= 990 }`, `true`},
		{"timeout is not put off by data", `
			const b = new B.PendingPostBeacon("/mute/timers/data", {timeout: 700}); const t = performance.now();
			for (let i = 0; b.pending && performance.now() - t < 15000; i++) { b.setData("v" + i); await sleep(30) }
			const after = performance.now() - t; return b.pending ? "never" : after >= 690 ? "in time" : after`, `"in time"`},
		{"timeout is not put off by an address", `
			const b = new B.PendingGetBeacon("/mute/timers/address", {timeout: 700}); const t = performance.now();
			for (let i = 0; b.pending && performance.now() - t < 15000; i++) { b.setURL("/mute/timers/address?" + i); await sleep(30) }
			const after = performance.now() - t; return b.pending ? "never" : after >= 690 ? "in time" : after`, `"in time"`},
		{"timeout of POST starts with its data", `
			const b = new B.PendingPostBeacon("/mute/timers/late", {timeout: 400}); await sleep(900); const {pending} = b;
			const t = performance.now(); b.setData("x"); const after = await until(b, 15000, t); return [pending, after >= 390]`, `[true, true]`},
		{"timeout, set before there is data", `
			const b = new B.PendingPostBeacon("/mute/timers/before"); b.timeout = 400; await sleep(900); const {pending} = b;
			const t = performance.now(); b.setData("x"); const after = await until(b, 15000, t); return [pending, after >= 390]`, `[true, true]`},
		{"timeout ends with deactivate", `const b = new B.PendingGetBeacon("/mute/timers/deactivated", {timeout: 300}); b.deactivate(); await sleep(800)`, `undefined`},
		{"backgroundTimeout does nothing in a visible page", `
			const b = new B.PendingGetBeacon("/mute/timers/visible", {backgroundTimeout: 50}); await sleep(800); const {pending} = b; b.sendNow(); return pending`, `true`},
	})
	for _, name := range []string{"option", "assigned", "series", "zero", "zero-assigned", "none", "data", "address", "late", "before", "visible"} {
		x.one(x.t, "/mute/timers/"+name)
	}
	x.none(x.t, "/mute/timers/deactivated")

	// What follows hides the page, as far as the page can see.
	p = x.open("hidden")
	x.check(p, []row{{"hidden", `
		let state = "visible";
		Object.defineProperty(document, "visibilityState", {get: () => state, configurable: true});
		Object.defineProperty(document, "hidden", {get: () => state === "hidden", configurable: true});
		const turn = s => { state = s; document.dispatchEvent(new Event("visibilitychange", {bubbles: true})) };
		const post = (name, o) => { const b = new B.PendingPostBeacon("/mute/hidden/" + name, o); b.setData(name); return b };
		const got = {};

		const zero = post("zero", {backgroundTimeout: 0}), early = post("default"), negative = post("negative", {backgroundTimeout: -5}), long = post("long", {backgroundTimeout: 600});
		const get = new B.PendingGetBeacon("/mute/hidden/get"), series = new B.AppendableBeacon("/mute/hidden/series"), empty = new B.PendingPostBeacon("/mute/hidden/empty");
		series.appendData(1);
		await sleep(100);
		got.visible = [zero, early, negative, long, get, series, empty].map(b => b.pending);
		const t = performance.now();
		turn("hidden");
		await sleep(0);
		// Earlier than the end of the page, which the explainer allows: the next event may never come.
		got.hidden = [zero, early, negative, get, series].map(b => b.pending);
		got.long = [long.pending, await until(long, 15000, t) >= 590];
		turn("visible");

		// Visible again before its time: it waits for the next time, and all of it again.
		for (;;) {
			const b = post("again", {backgroundTimeout: 1000});
			turn("hidden"); await sleep(300); turn("visible");
			if (!b.pending) continue; // this machine was too slow
			await sleep(1500);
			const still = b.pending, t = performance.now();
			turn("hidden");
			got.again = [still, await until(b, 15000, t) >= 990];
			turn("visible");
			break;
		}

		// Set while the page is hidden, it is of the next time.
		const next = post("next", {backgroundTimeout: 60000});
		turn("hidden");
		next.backgroundTimeout = 300;
		await sleep(900);
		got.next = [next.pending];
		turn("visible");
		await sleep(50);
		const t2 = performance.now();
		turn("hidden");
		got.next.push(await until(next, 15000, t2) >= 290);

		// Made while the page is hidden, which could end without another event.
		const late = post("late");
		got.late = await until(late) >= 0;
		turn("visible");
		got.empty = empty.pending;
		return got`,
		`{"visible": [true, true, true, true, true, true, true], "hidden": [false, false, false, false, false], "long": [true, true], "again": [true, true], "next": [true, true], "late": true, "empty": true}`}})
	for _, name := range []string{"zero", "default", "negative", "long", "get", "series", "next", "late"} {
		x.one(x.t, "/mute/hidden/"+name)
	}
	x.leave(p)
	x.none(x.t, "/mute/hidden/empty")
}

// timed makes a beacon b, does more, and says whether it waited for ms.
func timed(make, more string, ms int) string {
	return `const t = performance.now(); const b = ` + make + `; ` + more + `; const after = await until(b, 15000, t);
		return after < 0 ? "never" : after >= ` + itoa(ms-10) + ` ? "in time" : after`
}
