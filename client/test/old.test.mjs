// Browsers that lack something, and pages that took it away.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, idle } from "./harness.mjs";
import { U, later } from "./helpers.mjs";

// What every browser has that can read ES2022 is not among them: URL, TextEncoder, …
const globals = [
  "crypto", "FormData", "Blob", "URLSearchParams", "fetch", "AbortController", "Request",
  "Headers", "ReadableStream", "console", "location", "history", "isSecureContext", "fetchLater", "localStorage", "sendBeacon", "locks", "navigator",
];
// Without the others a raw beacon arrives all the same.
const needed = ["navigator", "location"];

const world = (missing) => {
  const w = new World();
  if (missing === "localStorage") w.storage = null;
  return w;
};
const options = (missing) => ({
  fetchLater: missing !== "fetchLater",
  sendBeacon: missing !== "sendBeacon",
  locks: missing !== "locks",
  keepalive: missing !== "Request",
  globals: globals.indexOf(missing) < globals.indexOf("fetchLater") || missing === "navigator" ? { [missing]: undefined } : {},
});

/** All that a page does to it. @returns {unknown[]} what it threw */
async function use(w, tab, beacon) {
  const thrown = [];
  const attempt = (f) => {
    try {
      return f();
    } catch (error) {
      thrown.push(error);
    }
  };
  attempt(() => beacon.init({ gpc: "flag" }));
  attempt(() => beacon.log("hello", { a: 1 }));
  attempt(() => beacon.view());
  const b = attempt(() => new beacon.PendingPostBeacon(U));
  attempt(() => b?.setData("raw"));
  const g = attempt(() => new beacon.PendingGetBeacon("https://example.com/g", { timeout: 100 }));
  const a = attempt(() => new beacon.AppendableBeacon(U, { key: "a" }));
  attempt(() => a?.appendData(1));
  const r = attempt(() => new beacon.ReplaceableBeacon(U, { key: "r", idParam: "id" }));
  attempt(() => r?.replaceData(1));
  await w.tick(1_000);
  attempt(() => [b, g, a, r].map((x) => x?.pending));
  attempt(() => r?.sendNow());
  attempt(() => a?.deactivate());
  await w.tick(40_000);
  await tab.hide();
  await tab.show();
  await w.tick(40_000);
  await tab.leave();
  return thrown;
}

for (const missing of [...globals, "nothing"]) {
  test(`without ${missing} the script loads, the page's calls work, and it degrades`, async () => {
    const uncaught = [];
    const note = (e) => uncaught.push(e);
    process.on("uncaughtException", note);
    process.on("unhandledRejection", note);
    try {
      for (const tag of [undefined, {}]) {
        const w = world(missing);
        const tab = await w.open({ ...options(missing), tag });
        const beacon = tag ? tab.win.beacon : tab.beacon;
        for (const f of ["init", "log", "view", "consent", "install"]) assert.equal(typeof beacon?.[f], "function", f);
        assert.deepEqual(await use(w, tab, beacon), []);
        await idle();
        const n = w.arrived.filter((x) => x.body === "raw").length;
        if (needed.includes(missing)) assert.ok(n < 2);
        else assert.equal(n, 1);
        if (w.storage) await later(w, options(missing));
        assert.equal(w.arrived.filter((x) => x.body === "raw").length, n, "no twin");
        assert.deepEqual(uncaught, []);
      }
    } finally {
      process.off("uncaughtException", note);
      process.off("unhandledRejection", note);
    }
  });
}

test("what every browser has may still be gone: the script loads, and log does not throw", async () => {
  const basic = ["URL", "TextEncoder", "queueMicrotask", "document"];
  for (const gone of [...basic.map((name) => [name]), [...globals, ...basic]]) {
    for (const tag of [undefined, {}]) {
      const w = new World({ storage: null });
      const tab = await w.open({ globals: Object.fromEntries(gone.map((name) => [name, undefined])), tag });
      const beacon = tag ? tab.win.beacon : tab.beacon;
      assert.equal(typeof beacon.init, "function");
      assert.doesNotThrow(() => beacon.log("hello"), `${gone}`);
    }
  }
});
