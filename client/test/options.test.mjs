// Options, of init and of the tag: what is understood, what is told, and where it goes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "./harness.mjs";

const start = async (w, via, options, o) => {
  if (via === "tag") return w.open({ ...o, tag: options });
  const tab = await w.open(o);
  tab.beacon.init(options);
  return tab;
};
const pages = (w) => [...new Set(w.items.map((i) => i.envelope.page))];
const visit = async (w, tab) => {
  tab.beacon.log("x");
  await w.tick(2_000);
  await tab.leave();
};
const url = "https://example.com/dir/page?token=secret#frag";

const addresses = [
  [undefined, "https://example.com/dir/page"],
  ["path", "https://example.com/dir/page"],
  ["full", "https://example.com/dir/page?token=secret"],
  ["none", undefined],
  ["false", undefined],
  ["Full", undefined],
  ["", "https://example.com/dir/page"],
];
for (const via of ["tag", "init"]) {
  for (const [page, want] of addresses) {
    test(`page by ${via}: ${page}`, async () => {
      const w = new World();
      const tab = await start(w, via, page === undefined ? {} : { page }, { url, referrer: "https://other.example/search?q=private#x" });
      await visit(w, tab);
      assert.deepEqual(pages(w), [want]);
      const { ref } = w.items.find((i) => i.e === "session").d;
      assert.equal(ref, { undefined: undefined, "https://example.com/dir/page": "https://other.example/search" }[want] ?? (want && "https://other.example/search?q=private"));
    });
  }
}

test("page: false and a function", async () => {
  const w = new World();
  await visit(w, await start(w, "init", { page: false }, { url }));
  assert.deepEqual(pages(w), [undefined]);
  const v = new World();
  await visit(v, await start(v, "init", { page: (u) => u.replace(/\?.*/, "?cut") }, { url, referrer: "https://a.example/?b" }));
  assert.deepEqual(pages(v), ["https://example.com/dir/page?cut"]);
  assert.equal(v.items.find((i) => i.e === "session").d.ref, "https://a.example/?cut");
});

test("a page function that throws, or has nothing, leaves the page out", async () => {
  for (const page of [() => { throw new Error("mine"); }, () => null, () => undefined, () => false, () => ""]) {
    const w = new World();
    const tab = await start(w, "init", { page }, { url });
    await visit(w, tab);
    assert.deepEqual(pages(w), [undefined]);
  }
});

test("a long address is cut", async () => {
  const w = new World();
  await visit(w, await start(w, "init", { page: () => "https://example.com/" + "x".repeat(9_000) }, { url }));
  assert.equal(pages(w)[0].length, 2_000);
});

test("gpc: only its word lets anything out", async () => {
  for (const gpc of ["block", "Flag", "", "yes"]) {
    const w = new World();
    const tab = await start(w, "tag", { gpc }, { gpc: true });
    await visit(w, tab);
    assert.equal(w.requests.length, 0);
  }
  const w = new World();
  await visit(w, await start(w, "tag", { gpc: "flag" }, { gpc: true }));
  assert.ok(w.items.length && w.items.every((i) => i.envelope.gpc === 1));
});

test("origins of a tag are separated by spaces or commas", async () => {
  const urls = ["https://a.example/x", "https://b.example/x", "https://c.example/x", "https://d.example/x"];
  for (const [via, origins] of [["tag", "https://a.example, https://b.example\n https://c.example"], ["init", ["https://a.example", "https://b.example", "https://c.example"]]]) {
    const w = new World();
    const tab = await start(w, via, { origins });
    await tab.online(false);
    for (const u of urls) new tab.beacon.PendingPostBeacon(u).setData(u);
    await w.tick(2_000);
    tab.kill();
    const next = await start(w, via, { origins });
    await w.tick(200_000);
    await next.leave();
    assert.deepEqual(w.arrived.filter((r) => !r.envelope).map((r) => r.body).sort(), urls.slice(0, 3));
  }
});

test("props go with every event, and cannot stand for what the client says", async () => {
  for (const [via, props] of [["tag", '{"plan":"pro","msg":"p","engaged":-1}'], ["init", { plan: "pro", msg: "p", engaged: -1 }]]) {
    const w = new World();
    const tab = await start(w, via, { props });
    tab.beacon.log("click", { msg: "theirs", plan: "other", x: 1 });
    tab.beacon.log("plain");
    await w.tick(6_000);
    await tab.leave();
    assert.deepEqual(w.items.filter((i) => i.e === "log").slice(0, 2).map((i) => i.d), [{ plan: "other", msg: "click", x: 1, engaged: -1 }, { plan: "pro", msg: "plain", engaged: -1 }]);
    const last = w.items.filter((i) => i.e === "session").at(-1).d;
    assert.deepEqual([last.plan, last.engaged], ["pro", 6_000]);
  }
});

test("props that are no JSON are none", async () => {
  for (const [via, props] of [["tag", "{plan: pro}"], ["tag", ""], ["init", "nonsense"]]) {
    const w = new World();
    const tab = await start(w, via, { props });
    await visit(w, tab);
    assert.ok(w.items.some((i) => i.d.msg === "x"));
  }
});

test("props that cannot be written as JSON are reported, and do not throw into the page", async () => {
  const w = new World();
  const errors = [];
  const loop = {};
  loop.loop = loop;
  const tab = await start(w, "init", { props: { n: 1n }, onerror: (e) => errors.push(e.reason) });
  tab.beacon.log("x");
  tab.beacon.view("name", loop);
  await w.tick(40_000);
  await tab.leave();
  assert.ok(errors.length && errors.every((r) => r === "data"));
});

test("an option that is not given is not taken back", async () => {
  const w = new World();
  const tab = await w.open();
  tab.beacon.init({ endpoint: undefined, consent: undefined, page: undefined, colour: 1 });
  await visit(w, tab);
  assert.ok(w.items.some((i) => i.d.msg === "x" && i.envelope.page));
});

const endpoints = [
  // [page, window.origin, base, endpoint, where it goes]
  ["https://example.com/dir/page", "https://example.com", "https://evil.example/", "/_pb", "https://example.com/_pb"],
  ["https://example.com/dir/page", "https://example.com", "https://evil.example/", "x/y", "https://example.com/x/y"],
  ["https://example.com/dir/page", "https://example.com", undefined, "https://collect.example/c?x=1", "https://collect.example/c?x=1"],
  // A sandboxed frame has no origin; what it has instead is the base of its parent.
  ["about:srcdoc", "null", "https://example.com/dir/", "/_pb", "https://example.com/_pb"],
  // A srcdoc frame has its parent's.
  ["about:srcdoc", "https://example.com", "https://example.com/dir/", "/_pb", "https://example.com/_pb"],
];
for (const [href, origin, base, endpoint, want] of endpoints) {
  test(`the endpoint ${endpoint} of ${href} with ${base} goes to ${want}`, async () => {
    const w = new World();
    const tab = await start(w, "tag", { endpoint }, { url: base || href, globals: { origin, location: { href, origin } } });
    await visit(w, tab);
    assert.deepEqual([...new Set(w.requests.map((r) => r.url))], [want]);
  });
}

test("plain http goes nowhere, and the console says why", async () => {
  for (const [url, endpoint] of [
    ["http://192.168.1.5:8080/page", "/_pb"], ["http://192.168.1.5/", "http://192.168.1.6/_pb"], ["https://example.com/", "http://example.com/_pb"],
  ]) {
    const w = new World();
    const tab = await w.open({ url, tag: { endpoint } });
    await visit(w, tab);
    assert.equal(w.requests.length, 0);
    assert.deepEqual(tab.warnings.map(([level, who, e]) => [level, who, /^not https: http:/.test(e.message)]), [["warn", "beacon:", true]]);
    const { beacon } = await w.open({ url });
    assert.throws(() => beacon.init({ endpoint }), TypeError);
  }
});

test("on this machine http is as good as https", async () => {
  const w = new World();
  const tab = await w.open({ url: "http://localhost:8080/", tag: {} });
  await visit(w, tab);
  assert.ok(w.requests.length);
  assert.deepEqual(tab.warnings, []);
});

test("an answer that refuses is told, if nobody else hears of it", async () => {
  for (const status of [404, 405, 403]) {
    const w = new World();
    w.respond = () => ({ status });
    const tab = await start(w, "tag", {});
    for (let i = 0; i < 3; i++) {
      tab.beacon.log("x");
      await w.tick(6_000);
    }
    assert.ok(tab.warnings.length > 0 && tab.warnings.every(([level, who, f]) => level === "warn" && who === "beacon:" && f.status === status));
    const v = new World();
    v.respond = () => ({ status });
    const heard = [];
    const quiet = await start(v, "init", { onerror: (f) => heard.push(f.status) });
    quiet.beacon.log("x");
    await v.tick(6_000);
    assert.deepEqual([quiet.warnings, heard[0]], [[], status]);
  }
});

test("debug: a function, a file beside the endpoint, or one that is named", async () => {
  const tools = [];
  const w = new World();
  const tab = await start(w, "init", { debug: (t) => tools.push(t), consent: "maybe" });
  assert.equal(tools[0].options.endpoint, "https://example.com/_pb");
  assert.equal(tools[0].options.consent, "maybe");
  assert.equal(tools[0].session(), "");
  tab.beacon.consent("granted");
  assert.equal(tools[0].session(), tab.beacon.beacon.session);
  for (const [debug, want] of [["", "./_pb.debug.mjs"], ["true", "./_pb.debug.mjs"], ["/my.mjs", "/my.mjs"], ["false", undefined]]) {
    const v = new World();
    const loaded = [];
    const t = await v.open();
    delete t.win[Symbol.for("beacon")];
    t.run({ debug }, { load: async (u) => (loaded.push(u), { default: (x) => loaded.push(x) }) });
    await v.tick(1);
    assert.equal(loaded[0], want);
    if (want) assert.equal(typeof loaded[1].session, "function");
  }
});

test("what somebody has put into Object.prototype is no option", async () => {
  const w = new World();
  const dirty = { endpoint: "https://evil.example/", gpc: "flag", page: "full", debug: "https://evil.example/x.mjs", consent: "granted", props: { evil: 1 }, spa: "" };
  Object.assign(Object.prototype, dirty);
  try {
    const tab = await start(w, "tag", {}, { url, gpc: true });
    tab.beacon.log("x");
    await w.tick(6_000);
    await tab.leave();
    const v = new World();
    await visit(v, await start(v, "init", {}, { url }));
    assert.equal(w.requests.length, 0);
    assert.deepEqual([...new Set(v.requests.map((r) => r.url))], ["https://example.com/_pb"]);
    assert.deepEqual(pages(v), ["https://example.com/dir/page"]);
  } finally {
    for (const name in dirty) delete Object.prototype[name];
  }
});
