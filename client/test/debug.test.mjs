// The file that data-debug loads: a sentence for each fault, and a log of what happens.
import assert from "node:assert/strict";
import { test } from "node:test";
import "./harness.mjs"; // gives each copy of the file its own modules
import { faults } from "../src/debug.text.js";

let copies = 0;

/** Runs the debug file on a page that is as page says. */
async function debug({ options = {}, answer = { status: 204 }, storage = {}, ...page } = {}) {
  const out = { lines: [], warned: [], asked: [] };
  const document = Object.assign(new EventTarget(), { baseURI: "https://example.com/dir/" });
  globalThis.window = {
    document,
    location: { host: "example.com", origin: "https://example.com" },
    isSecureContext: true,
    navigator: {},
    fetchLater() {},
    console: {
      info: (...args) => out.lines.push(args.map((a) => (typeof a === "object" ? JSON.stringify(a) : a)).join(" ")),
      warn: (...args) => out.warned.push(args.join(" ")),
    },
    get localStorage() {
      if (!storage) throw new Error("denied by the user");
      return storage;
    },
    fetch: async (url, init) => {
      out.asked.push([url, init]);
      if (!answer) throw new TypeError("Failed to fetch");
      return { headers: new Headers(), ...answer };
    },
    ...page,
  };
  try {
    const { default: start } = await import(`../src/debug.js?${++copies}`);
    await start({ options: { endpoint: "/_pb", consent: "granted", gpc: "block", ...options }, session: "s1", listen: (f) => (out.tell = f) });
  } finally {
    delete globalThis.window;
  }
  out.codes = () => out.warned.splice(0).map((text) => /\[(\w+)\]/.exec(text)[1]);
  out.policy = (blockedURI) => document.dispatchEvent(Object.assign(new Event("securitypolicyviolation"), { blockedURI, effectiveDirective: "connect-src" }));
  return out;
}

test("a page where all is well", async () => {
  const d = await debug();
  assert.deepEqual(d.codes(), []);
  assert.match(d.lines[0], /^beacon: session s1 options .*"\/_pb"/);
  assert.equal(d.lines.length, 1);
  assert.deepEqual(d.asked.map(([url, init]) => [url, init.method, init.body]), [["https://example.com/_pb", "OPTIONS", undefined]]);
});

test("what was wrong before it came", async () => {
  const cases = [
    ["insecure", { isSecureContext: false }],
    ["gpc", { navigator: { globalPrivacyControl: true } }],
    ["storage", { storage: null }],
    ["storage", { storage: undefined, localStorage: null }],
    ["denied", { storage: { "bcn:c": "denied" } }],
    ["pending", { options: { consent: "required" } }],
    ["path", { answer: { status: 404 } }],
    ["path", { answer: { status: 200 } }], // of an application that answers everything
    ["path", { answer: { status: 0, type: "opaqueredirect" } }],
    ["refused", { answer: { status: 403, headers: new Headers({ "Beacon-Refused": "origin" }) } }],
    ["network", { answer: null }],
  ];
  for (const [code, page] of cases) {
    const d = await debug(page);
    assert.equal(d.warned.length, 1, code);
    assert.deepEqual(d.codes(), [code]);
  }
  assert.deepEqual((await debug({ navigator: { globalPrivacyControl: true }, options: { gpc: "flag" } })).codes(), []);
  const far = await debug({ options: { endpoint: "https://collector.example/_pb" }, answer: null });
  assert.deepEqual(far.codes(), []);
  assert.deepEqual(far.asked, [], "another origin need not allow the question");
});

test("what the client tells: faults once each, the rest as it comes", async () => {
  const d = await debug();
  for (const code of Object.keys(faults)) {
    d.tell(code, { name: "colour", value: "red", url: "https://example.com/_pb", status: 404 });
    d.tell(code, { name: "colour", value: "red", url: "https://example.com/_pb", status: 404 });
    assert.equal(d.warned.length, 1, code);
    assert.ok(d.warned[0].length > 60 && !/undefined|\[object/.test(d.warned[0]), d.warned[0]);
    assert.deepEqual(d.codes(), [code]);
  }
  d.tell("option", { name: "consent", value: "Required" });
  assert.match(d.warned.pop(), /consent cannot be "Required"/);
  d.tell("option", { name: "colour" });
  assert.match(d.warned.pop(), /colour is no option.*endpoint, consent/);
  d.lines.length = 0;
  d.tell("sent", { id: "b1" });
  d.tell("sent", { id: "b1" });
  d.tell("hidden");
  assert.deepEqual(d.lines, ['beacon: sent {"id":"b1"}', 'beacon: sent {"id":"b1"}', "beacon: hidden"]);
});

test("why a beacon was given up", async () => {
  const d = await debug();
  const url = "https://example.com/_pb";
  const given = (detail, code, text) => {
    d.lines.length = d.warned.length = 0;
    d.tell("failed", { url, ...detail });
    assert.match(d.lines.join(), /given up: ./);
    if (code) assert.match(d.warned.join(), new RegExp(`\\[${code}\\].*${text}`));
    else assert.deepEqual(d.warned, []);
  };
  given({ reason: "size" });
  given({ reason: "status", status: 404 }, "path", "no receiver listens there");
  given({ reason: "status", status: 405 }, "path", "answers 405");
  given({ reason: "status", status: 405, refused: "method" }, "refused", "does not take this method");
  given({ reason: "status", status: 403, refused: "origin" }, "refused", "Config.Origins");
  given({ reason: "status", status: 422 }, "refused", "422");
  given({ reason: "attempts", status: 503, refused: "unheard-of" }, "refused", "503 .unheard-of");
  given({ reason: "attempts" }, "network", "cannot be reached");
});

test("a policy that forbids the endpoint, and none that forbids something else", async () => {
  const d = await debug();
  d.policy("https://cdn.example/x.js");
  d.policy("inline");
  assert.deepEqual(d.codes(), []);
  d.policy("https://example.com/_pb?_t=1");
  assert.deepEqual(d.codes(), ["csp"]);
  const far = await debug({ options: { endpoint: "https://collector.example/_pb" } });
  far.policy("https://collector.example"); // all that is told of another origin
  assert.deepEqual(far.codes(), ["csp"]);
});
