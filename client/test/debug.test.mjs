// The file that data-debug loads: a sentence for each fault, and a log of what happens.
import assert from "node:assert/strict";
import { test } from "node:test";
import { evaluate } from "./link.mjs";
import { faults } from "../src/debug.text.js";

const file = process.env.CLIENT === "dist" ? "dist/debug.min.mjs" : "src/debug.js";

/** Runs the debug file on a page that is as page says. */
async function debug({ options = {}, answer = { status: 204 }, storage = {}, session = "s1", told = [], ...page } = {}) {
  const out = { lines: [], warned: [], asked: [], told, options: { endpoint: "https://example.com/_pb", consent: "granted", gpc: "block", ...options } };
  const document = Object.assign(new EventTarget(), { baseURI: "https://example.com/dir/" });
  const window = {
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
  window.globalThis = window.window = window;
  const { default: start } = evaluate(file, window);
  await start({ options: out.options, session: () => session, told });
  out.tell = (...of) => out.told.push(of);
  out.codes = () => out.warned.splice(0).map((text) => /\[(\w+)\]/.exec(text)[1]);
  out.policy = (blockedURI) => document.dispatchEvent(Object.assign(new Event("securitypolicyviolation"), { blockedURI, effectiveDirective: "connect-src" }));
  return out;
}

test("a page where all is well", async () => {
  const d = await debug();
  assert.deepEqual(d.codes(), []);
  assert.match(d.lines[0], /^beacon: session s1 options .*"https:.*_pb"/);
  assert.equal(d.lines.length, 1);
  assert.deepEqual(d.asked.map(([url, init]) => [url, init.method, init.body]), [["https://example.com/_pb?_debug", "OPTIONS", undefined]]);
});

test("what was wrong before it came", async () => {
  const cases = [
    ["insecure", { isSecureContext: false }],
    ["gpc", { navigator: { globalPrivacyControl: true } }],
    ["storage", { storage: null }],
    ["storage", { storage: undefined, localStorage: null }],
    ["denied", { storage: { "bcn:c": "denied" } }],
    ["pending", { options: { consent: "required" }, session: "" }],
    ["module", { told: [["module", ""]] }],
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
  assert.deepEqual((await debug({ options: { consent: "required" } })).codes(), [], "granted meanwhile");
  assert.deepEqual((await debug({ navigator: { globalPrivacyControl: true }, options: { gpc: "flag" } })).codes(), []);
  assert.deepEqual((await debug({ isSecureContext: undefined })).codes(), [], "a browser that does not say");
  assert.match((await debug({ answer: { status: 0 } })).warned.join(), /answers with a redirect/);
  const far = await debug({ options: { endpoint: "https://collector.example/_pb" }, answer: null });
  assert.deepEqual(far.codes(), []);
  assert.deepEqual(far.asked, [], "another origin need not allow the question");
});

test("options: names and values that are none", async () => {
  const wrong = {
    consent: ["Required", ""], gpc: ["no", true], origins: ["example.com", "https://a.example/path", ["https://a.example", "b"]], reliability: ["always", true],
    page: ["query", true], spa: ["yes", 1], props: ["{", "[]", 1, "1"], debug: [1], onerror: ["f"], endpoint: [1], token: [1], colour: ["red", ""], constructor: ["x"],
  };
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      const d = await debug({ options: { [name]: value } });
      assert.ok(d.codes().includes("option"), `${name}: ${JSON.stringify(value)}`);
    }
  }
  const d = await debug({ options: { onerror: "f" } });
  d.options.onerror({ reason: "size" }); // does not throw
  const right = {
    consent: ["required", "granted", undefined], gpc: ["flag"], origins: ["https://a.example http://localhost:8080/, https://b.example", ["https://a.example"], []], reliability: ["atLeastOnce"],
    page: ["path", "full", "none", "false", false, () => ""], spa: ["", "true", true, "hash", false], props: ['{"a":1}', {}], debug: ["", "true", "/d.mjs", true, () => {}], onerror: [() => {}],
    turboTrack: ["reload"], token: ["v1.x.y"],
  };
  for (const [name, values] of Object.entries(right)) {
    for (const value of values) {
      const d = await debug({ options: { [name]: value } });
      assert.deepEqual(d.codes(), [], `${name}: ${JSON.stringify(value)}`);
    }
  }
});

test("what the client tells: faults once each, the rest as it comes", async () => {
  const d = await debug();
  const details = { option: ["colour", "red"], endpoint: new TypeError("not https"), page: new Error("of the page") };
  for (const code of Object.keys(faults)) {
    const detail = details[code] ?? { url: "https://example.com/_pb", status: 403 };
    d.tell(code, detail);
    d.tell(code, detail);
    assert.equal(d.warned.length, 1, code);
    assert.ok(d.warned[0].length > 60 && !/undefined|\[object/.test(d.warned[0]), d.warned[0]);
    assert.deepEqual(d.codes(), [code]);
  }
  d.tell("option", ["consent", "Required"]);
  assert.match(d.warned.pop(), /consent cannot be "Required".*nothing is sent/);
  // A misspelt name is not a consent that is not understood: this page sends.
  d.tell("option", ["consnet", "required"]);
  assert.match(d.warned.pop(), /there is no option "consnet", so it changes nothing(?!.*nothing is sent)/);
  d.lines.length = 0;
  d.tell("another", 1);
  assert.deepEqual(d.lines, ["beacon: another 1"]);
  assert.equal(d.told.length, 2 * Object.keys(faults).length + 3, "the client goes on knowing what was told");
});

test("why a beacon was refused", async () => {
  const d = await debug();
  const given = (detail, code, text) => {
    d.warned.length = 0;
    d.tell("refused", { url: "https://example.com/_pb", reason: "status", ...detail });
    assert.match(d.warned.join(), new RegExp(`\\[${code}\\].*${text}`));
  };
  given({ status: 404 }, "path", "no receiver listens there");
  given({ status: 405 }, "path", "answers 405");
  given({ status: 405, refused: "method" }, "refused", "does not take this method");
  given({ status: 403, refused: "origin" }, "refused", "Config.Origins");
  given({ status: 422 }, "refused", "422");
  given({ status: 400, refused: "unheard-of" }, "refused", "400 .unheard-of");
});

test("a log of what the page calls, what leaves and what is given up", async () => {
  const calls = [];
  let observer;
  const client = { log: (...args) => calls.push(args), flush: () => "flushed" };
  const failed = [];
  const d = await debug({
    [Symbol.for("beacon")]: client,
    options: { onerror: (f) => failed.push(f) },
    PerformanceObserver: class {
      constructor(f) {
        observer = f;
      }
      observe() {}
    },
  });
  d.lines.length = 0;
  client.log("signup", { plan: "pro" });
  assert.equal(client.flush(), "flushed");
  assert.deepEqual(calls, [["signup", { plan: "pro" }]]);
  observer({
    getEntries: () => [
      { name: "https://example.com/_pb?_t=1", initiatorType: "beacon", responseStatus: 204, duration: 12.3 },
      { name: "https://example.com/_pb?_debug", initiatorType: "fetch", responseStatus: 204, duration: 1 },
      { name: "https://example.com/style.css", initiatorType: "link", responseStatus: 200, duration: 1 },
      { name: "https://example.com/_pb", initiatorType: "fetch", responseStatus: 0, duration: 1 },
    ],
  });
  const failure = { reason: "size", url: "u" };
  d.options.onerror(failure);
  assert.deepEqual(failed, [failure], "the page's own is called too");
  assert.deepEqual(d.lines, [
    'beacon: log signup {"plan":"pro"}',
    "beacon: flush",
    "beacon: request by beacon answered 204 after 12 ms",
    "beacon: request by fetch answered out of sight after 1 ms",
    'beacon: given up: more than 60,000 bytes at the end of the page {"reason":"size","url":"u"}',
  ]);
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
