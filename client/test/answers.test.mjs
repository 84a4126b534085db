// What counts as an answer of the server, and what it takes to see one.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, idle } from "./harness.mjs";
import { U, append, error, later, numbers, post, recorded, times, visit } from "./helpers.mjs";

// What a service worker may say in place of the server.
const made = {
  "an answer of its own": { type: "default", status: 200, arrived: false, url: "" },
  "a page that it keeps": { type: "basic", status: 200, arrived: false, url: "https://example.com/offline.html" },
  "a page of its own with an address": { type: "default", status: 200, arrived: false, url: U },
};

for (const [what, answer] of Object.entries(made)) {
  test(`B7: ${what} from a service worker is no delivery`, async () => {
    const w = new World();
    const errors = [];
    const tab = await visit(w);
    await w.tick(1_000);
    w.respond = () => answer;
    append(tab.beacon, "x", error(errors)).sendNow();
    await idle();
    assert.deepEqual(numbers(w, "a"), []);
    assert.equal(recorded(w, '\\"x\\"').length, 1, "the record stays");
    w.respond = () => ({});
    await w.tick(60_000);
    assert.deepEqual([numbers(w, "a"), errors], [[1], []]);
    await tab.leave();
  });
}

test("B7: a service worker that always answers is told of in the end", async () => {
  const w = new World();
  const errors = [];
  w.respond = () => made["an answer of its own"];
  const { beacon } = await w.open();
  append(beacon, "x", error(errors)).sendNow();
  await w.tick(3_600_000);
  assert.deepEqual([w.requests.length, errors], [5, ["attempts"]]);
});

test("what the server answers counts, once: any 2xx to a beacon of the page's own, 204 to an envelope", async () => {
  for (const status of [200, 204, 202]) {
    for (const [url, init] of [[U, {}], ["/_pb", { token: "tok.en" }], ["b?x=1#frag", {}], ["/ü?q=ä b", {}], ["https://other.example/x", {}]]) {
      const w = new World();
      w.respond = (r) => ({ status: r.envelope ? 204 : status });
      const tab = await visit(w, {}, init);
      await w.tick(1_000);
      const list = [new tab.beacon.PendingGetBeacon(url), new tab.beacon.PendingPostBeacon(url, { idParam: "an id" }), new tab.beacon.ReplaceableBeacon(url, { key: "r" })];
      list[1].setData("x");
      list[2].replaceData(1);
      const n = w.requests.length;
      for (const b of list) b.sendNow();
      await w.tick(20_000);
      assert.equal(w.requests.slice(n).filter((r) => !r.envelope || r.envelope.k === "r").length, 3, JSON.stringify({ status, url }));
    }
  }
});

test("C5: requests to other origins ask by CORS, whatever they carry", async () => {
  const w = new World();
  const { beacon } = await w.open();
  const far = "https://other.example/b";
  new beacon.PendingGetBeacon(far).sendNow();
  for (const data of ["x", new URLSearchParams("a=1"), new Blob(["x"]), new Blob(["x"], { type: "text/plain" }), new Uint8Array(2), new FormData()]) {
    const b = new beacon.PendingPostBeacon(far);
    b.setData(data);
    b.sendNow();
  }
  assert.deepEqual(w.requests.map((r) => r.init.mode ?? "cors"), Array(7).fill("cors"));
});

test("C5: another origin's refusals are seen and tried again", async () => {
  for (const [status, n] of [[503, 5], [400, 1]]) {
    const w = new World();
    const errors = [];
    w.respond = () => ({ status });
    const { beacon } = await w.open();
    const b = new beacon.PendingPostBeacon("https://other.example/b", error(errors));
    b.setData("x");
    b.sendNow();
    await w.tick(3_600_000);
    assert.deepEqual([w.requests.length, errors], [n, [n > 1 ? "attempts" : "status"]]);
  }
});
