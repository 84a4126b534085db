// The token by which a server knows its own pages.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, idle } from "./harness.mjs";

const U = "https://example.com/_pb";
const said = (r) => r.envelope?.tok ?? new URL(r.url).searchParams.get("_t");

test("whatever goes to the endpoint has it, on every way", async () => {
  for (const o of [{}, { fetchLater: true }, { sendBeacon: false }]) {
    const w = new World();
    const tab = await w.open({ url: "https://example.com/page", ...o });
    const { beacon } = tab;
    beacon.init({ token: "tok-1" });
    beacon.log("one");
    new beacon.PendingPostBeacon("/_pb?a=1", { idParam: "_b" }).setData("body");
    new beacon.PendingPostBeacon("/_pb#frag").setData('{"v":1,"k":"not an envelope"}');
    new beacon.PendingGetBeacon("/_pb");
    new beacon.ReplaceableBeacon("/_pb").replaceData({ k: 1 });
    await w.tick(1_500);
    await tab.leave();
    assert.ok(w.requests.length >= 6, `${w.requests.length} requests`);
    for (const r of w.requests) {
      assert.equal(said(r), "tok-1", `${r.kind} ${r.url} ${r.body}`);
      assert.ok(!r.url.includes("#"));
    }
    const urls = w.requests.filter((r) => !r.envelope).map((r) => r.url.replace(/_b=[^&]*/, "_b"));
    for (const want of [`${U}?a=1&_b&_t=tok-1`, `${U}?_t=tok-1`]) assert.ok(urls.includes(want), `${urls}`);
    assert.equal(w.requests.find((r) => r.body === '{"v":1,"k":"not an envelope"}')?.url, `${U}?_t=tok-1`);
  }
});

test("it goes nowhere else", async () => {
  const w = new World();
  const { beacon } = await w.open();
  beacon.init({ token: "tok-1" });
  for (const url of ["https://other.example/_pb", "https://example.com/_pb2", "https://example.com/", "https://example.com/dir/_pb?_pb"]) {
    new beacon.PendingGetBeacon(url).sendNow();
    const a = new beacon.AppendableBeacon(url);
    a.appendData(1);
    a.sendNow();
  }
  const elsewhere = w.requests.filter((r) => r.url !== U);
  assert.equal(elsewhere.length, 8);
  for (const r of elsewhere) assert.equal(said(r), null, r.url);
});

test("alone, a beacon has its own", async () => {
  const w = new World();
  const { beacon } = await w.open();
  const a = new beacon.AppendableBeacon(U, { token: "mine" });
  a.appendData(1);
  a.sendNow();
  new beacon.PendingGetBeacon(U, { token: "mine" }).sendNow();
  new beacon.PendingGetBeacon(U).sendNow();
  assert.deepEqual(w.requests.map(said), ["mine", "mine", null]);
});

test("it is not stored, and what a page left behind goes with the token of the next", async () => {
  const w = new World();
  const one = await w.open();
  one.beacon.init({ token: "tok-1" });
  one.beacon.log("before the crash", { tok: "the page's" });
  new one.beacon.PendingPostBeacon(U, { idParam: "_b" }).setData("draft");
  await w.tick(300);
  one.kill();
  assert.ok(Object.keys(w.storage.data).some((k) => k.startsWith("bcn:q")));
  assert.ok(!JSON.stringify(w.storage.data).includes("tok-1"));
  const two = await w.open();
  two.beacon.init({ token: "tok-2" });
  await w.tick(125_000);
  const late = w.requests.filter((r) => r.envelope?.via === "rec" || r.body === "draft");
  assert.ok(late.length >= 2, `${late.length}`);
  for (const r of late) assert.equal(said(r), "tok-2");
  assert.equal(late.find((r) => r.envelope?.m === "append").envelope.ev[0].d.tok, "the page's");
});

test("init gives a page that stays open another", async () => {
  const w = new World();
  const { beacon } = await w.open();
  beacon.init({ token: "tok-1" });
  const g = new beacon.PendingGetBeacon(U);
  beacon.init({ token: "tok-2" });
  g.sendNow();
  beacon.log("later");
  await w.tick(5_000);
  await idle();
  assert.ok(w.requests.length >= 2);
  for (const r of w.requests) assert.equal(said(r), "tok-2");
});

test("without one nothing changes", async () => {
  const w = new World();
  const { beacon } = await w.open();
  for (const token of [undefined, ""]) {
    beacon.init({ token });
    new beacon.PendingGetBeacon(U).sendNow();
    beacon.log("x");
    await w.tick(5_000);
  }
  assert.ok(w.requests.length >= 3);
  for (const r of w.requests) assert.ok(!/_t=|"tok"/.test(r.url + r.body), r.url);
});
