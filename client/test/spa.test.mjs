// Pages whose address changes without a page being loaded.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, idle } from "./harness.mjs";

/** An address that is changed as by browsers: with the Navigation API or without. */
const kinds = {
  navigation(tab) {
    const navigation = new EventTarget();
    const { history } = tab.win;
    const { pushState } = history;
    tab.win.navigation = navigation;
    tab.win.NavigateEvent = class {};
    history.pushState = history.replaceState = (...args) => {
      pushState(...args);
      navigation.dispatchEvent(new Event("currententrychange"));
    };
    return (url) => {
      tab.doc.baseURI = new URL(url, tab.doc.baseURI).href;
      navigation.dispatchEvent(new Event("currententrychange"));
    };
  },
  history(tab) {
    // An element of that id, as in old browsers.
    tab.win.navigation = { addEventListener() {} };
    return (url) => {
      tab.doc.baseURI = new URL(url, tab.doc.baseURI).href;
      tab.win.emit("popstate");
      if (url.includes("#")) tab.win.emit("hashchange");
    };
  },
};

const start = async (w, kind, options) => {
  const tab = await w.open({ url: "https://example.com/a?q=1", referrer: "https://other.example/?x" });
  tab.go = kinds[kind](tab);
  tab.beacon.init(options);
  await w.tick(1_000);
  return tab;
};
/** Page views as they were told of last: page, referrer, seconds seen. */
const views = (w) => {
  const all = new Map();
  for (const i of w.items) if (i.e === "session" && !(all.get(i.envelope.pv)?.n > i.n)) all.set(i.envelope.pv, i);
  return [...all.values()].map((i) => [i.envelope.page.replace("https://example.com", ""), i.d.ref, i.d.seen]);
};
const end = async (w, tab) => {
  await w.tick(1_000);
  await tab.leave();
  return views(w);
};

for (const kind of Object.keys(kinds)) {
  for (const spa of [true, "", "true"]) {
    test(`${kind}: a view for each page (${JSON.stringify(spa)})`, async () => {
      const w = new World();
      const tab = await start(w, kind, { spa });
      const { history } = tab.win;
      history.pushState(null, "", "/b?q=2");
      tab.beacon.log("b");
      await w.tick(2_000);
      history.replaceState(null, "", "/b?q=3#x");
      await w.tick(3_000);
      tab.go("/c");
      await w.tick(4_000);
      assert.deepEqual(await end(w, tab), [
        ["/a", "https://other.example/", 1_000],
        ["/b", "https://example.com/a", 5_000],
        ["/c", "https://example.com/b", 5_000],
      ]);
      assert.equal(w.items.find((i) => i.d.msg === "b").envelope.page, "https://example.com/b");
    });
  }

  test(`${kind}: changes of one task are one`, async () => {
    const w = new World();
    const tab = await start(w, kind, { spa: true });
    tab.win.history.pushState(null, "", "/login");
    tab.win.history.replaceState(null, "", "/b");
    await w.tick(1_000);
    tab.win.history.pushState(null, "", "/c");
    tab.win.history.replaceState(null, "", "/b");
    assert.deepEqual((await end(w, tab)).map((v) => v[0]), ["/a", "/b"]);
  });

  test(`${kind}: view() for the same change is not another`, async () => {
    const w = new World();
    const tab = await start(w, kind, { spa: true });
    tab.win.history.pushState(null, "", "/b");
    tab.beacon.view("B", { x: 1 });
    const all = await end(w, tab);
    assert.deepEqual(all.map((v) => v[0]), ["/a", "/b"]);
    const { name, x } = w.items.filter((i) => i.e === "session").at(-1).d;
    assert.deepEqual([name, x], ["B", 1]);
  });

  test(`${kind}: the query counts only where it is told`, async () => {
    for (const [page, want] of [["full", ["/a?q=1", "/a?q=2"]], ["path", ["/a"]], [(u) => `${/q=./.exec(u)}`, ["q=1", "q=2"]]]) {
      const w = new World();
      const tab = await start(w, kind, { spa: true, page });
      tab.win.history.pushState(null, "", "?q=2");
      await w.tick(1_000);
      tab.go("#x");
      assert.deepEqual((await end(w, tab)).map((v) => v[0]), want);
    }
  });

  test(`${kind}: routes in the hash`, async () => {
    for (const [spa, want] of [["hash", ["/a", "/a#/b", "/a#/c"]], [true, ["/a"]]]) {
      const w = new World();
      const tab = await start(w, kind, { spa });
      for (const hash of ["#/b", "#/b?secret=1", "#/c"]) {
        tab.go(hash);
        await w.tick(1_000);
      }
      assert.deepEqual((await end(w, tab)).map((v) => v[0]), want);
    }
  });

  test(`${kind}: without the option there is one view`, async () => {
    for (const options of [undefined, { spa: false }, { spa: "false" }, { spa: "yes" }]) {
      const w = new World();
      const tab = await start(w, kind, options);
      tab.win.history.pushState(null, "", "/b");
      await w.tick(1_000);
      tab.go("/c");
      assert.deepEqual((await end(w, tab)).map((v) => v[0]), ["/a"]);
    }
  });
}

test("the page's History is left as it is", async () => {
  const history = { pushState() {}, replaceState() {} };
  const before = { ...history };
  const w = new World();
  const tab = await w.open({ globals: { history } });
  tab.beacon.init({ spa: true });
  await w.tick(1_000);
  assert.deepEqual({ ...history }, before);
});

test("without the option History is left alone", async () => {
  const w = new World();
  const tab = await w.open();
  const { pushState, replaceState } = tab.win.history;
  tab.beacon.init();
  await w.tick(1_000);
  assert.deepEqual([tab.win.history.pushState, tab.win.history.replaceState], [pushState, replaceState]);
});

test("a hidden page changes its address", async () => {
  const w = new World();
  const tab = await start(w, "history", { spa: true });
  await tab.hide();
  tab.win.history.pushState(null, "", "/b");
  await w.tick(5_000);
  await idle();
  await tab.show();
  await w.tick(2_000);
  const all = await end(w, tab);
  assert.deepEqual(all.map((v) => [v[0], v[2]]), [["/a", 1_000], ["/b", 3_000]]);
});
