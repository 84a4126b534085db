// The envelopes that the server has to read. testdata/envelope holds real ones,
// with what they mean; the server's tests read them too. UPDATE=1 writes them.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { World, idle } from "./harness.mjs";

const U = "https://example.com/_pb";
const dir = new URL("../testdata/envelope/", import.meta.url);

const scenarios = {
  async append(w) {
    const { beacon } = await w.open();
    beacon.init();
    beacon.log("clicked", { what: "button", "ü": ["é", 1, null, true, { a: "\u2028 </script>" }] });
    await w.tick(1_500);
    beacon.log("scrolled");
    await w.tick(3_500);
    return w.requests.filter((r) => r.envelope.m === "append");
  },
  async "append-key"(w) {
    const { beacon } = await w.open();
    beacon.init({ page: false });
    const a = new beacon.AppendableBeacon(U, { key: "my:key" });
    for (const d of [null, 0, "", [], {}, -1.5e300, "a\u0000b", { e: 1, n: 2, k: 3 }]) a.appendData(d);
    a.appendData("named", "my event");
    a.sendNow();
    return w.requests;
  },
  async view(w) {
    const tab = await w.open({ referrer: "https://other.example/a?b" });
    tab.beacon.init({ props: { plan: "pro" }, page: "full" });
    await w.tick(2_000);
    tab.beacon.view("cart", { items: 3 });
    tab.beacon.log("bought", { n: 1 });
    await w.tick(3_000);
    await tab.leave();
    return w.requests;
  },
  async replace(w) {
    const { beacon } = await w.open();
    beacon.init();
    const r = new beacon.ReplaceableBeacon(U, { key: "total" });
    r.replaceData({ total: 1 });
    r.replaceData({ total: 2 });
    r.sendNow();
    r.replaceData({ total: 3 });
    r.sendNow();
    return w.requests;
  },
  async session(w) {
    const tab = await w.open();
    tab.beacon.init();
    await w.tick(12_340);
    await tab.leave();
    return w.requests;
  },
  async split(w) {
    const { beacon } = await w.open();
    beacon.init();
    const a = new beacon.AppendableBeacon(U, { key: "long" });
    for (let i = 0; i < 5; i++) a.appendData({ i, text: "é".repeat(10_000) });
    a.sendNow();
    return w.requests;
  },
  async recovery(w) {
    const one = await w.open();
    one.beacon.init();
    one.beacon.log("before the crash");
    await w.tick(300);
    one.kill();
    const two = await w.open();
    two.beacon.init();
    await w.tick(125_000);
    return w.requests.filter((r) => r.envelope.via === "rec");
  },
  async later(w) {
    const tab = await w.open({ fetchLater: true });
    tab.beacon.init();
    tab.beacon.log("held by the browser");
    await w.tick(2_000);
    await tab.leave();
    return w.requests;
  },
  async bye(w) {
    const tab = await w.open();
    tab.beacon.init();
    tab.beacon.log("last");
    await w.tick(2_000);
    await tab.hide();
    return w.requests;
  },
  async gpc(w) {
    const { beacon } = await w.open({ gpc: true });
    beacon.init({ gpc: "flag" });
    beacon.log("flagged");
    await w.tick(5_000);
    return w.requests;
  },
  async token(w) {
    const { beacon } = await w.open();
    beacon.init({ endpoint: U, token: "v1.ajvo.gkvvkJRnrARo-uKNVxZawQ" });
    beacon.log("verified", { tok: "the page's" });
    await w.tick(5_000);
    return w.requests;
  },
  async core(w) {
    const { beacon } = await w.open();
    const a = new beacon.AppendableBeacon(U, { key: "alone" });
    a.appendData(1);
    a.sendNow();
    return w.requests;
  },
};

const want = (env) =>
  env.ev.map((e) => ({
    id: `${env.pv}:${env.k}:${e.n}`, session: env.sid, view: env.pv, seq: e.n, mode: env.m, series: env.k, ...(e.e && { name: e.e }), data: e.d, via: env.via,
  }));

const files = [];
for (const [name, scenario] of Object.entries(scenarios)) {
  test(name, async () => {
    const w = new World();
    const requests = await scenario(w);
    await idle();
    assert.ok(requests.length);
    for (const [i, r] of requests.entries()) {
      const id = requests.length > 1 ? `${name}-${i + 1}` : name;
      const file = new URL(`${id}.json`, dir);
      files.push(`${id}.json`);
      const got = { name: id, envelope: r.body, want: want(r.envelope) };
      if (process.env.UPDATE) {
        mkdirSync(dir, { recursive: true });
        writeFileSync(file, `${JSON.stringify(got, null, 2)}\n`);
      }
      assert.ok(existsSync(file), `${id}: run with UPDATE=1`);
      assert.deepEqual(got, JSON.parse(readFileSync(file, "utf8")));
      // Its shape.
      const { v, m, tok, k, b, r: rev, sid, pv, via, at, page, gpc, ev, ...rest } = r.envelope;
      assert.deepEqual([v, rest], [1, {}]);
      assert.ok(["append", "replace"].includes(m) && ["now", "later", "bye", "rec"].includes(via));
      assert.ok([k, b, sid, pv].every((s) => typeof s === "string" && s) && Number.isInteger(at) && rev >= 1);
      assert.ok(page === undefined || (page.startsWith("https://") && !page.includes("#")));
      assert.ok(gpc === undefined || gpc === 1);
      assert.ok(tok === undefined || r.body.startsWith(`{"v":1,"m":"${m}","tok":"v1.`));
      assert.ok(ev.length > 0 && (m === "append" || ev.length === 1));
      for (const e of ev) assert.ok(Number.isInteger(e.n) && e.n > 0 && Number.isInteger(e.t) && "d" in e);
      assert.ok(new TextEncoder().encode(r.body).length <= 60_000);
    }
  });
}

test("there are no other files", () => {
  assert.deepEqual(readdirSync(dir).sort(), files.sort());
});
