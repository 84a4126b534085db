// What stands in the page before the client does.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";

const built = (name) => readFileSync(new URL("../dist/" + name, import.meta.url), "utf8");
const stub = built("stub.js");

/** A page in which only the stub has run. */
const page = (globals = {}) => {
  const w = vm.createContext({ ...globals });
  w.window = w;
  vm.runInContext(stub, w);
  return w;
};

/** What the client does with what has waited. */
const arrive = (w) => {
  const calls = [];
  const take = ([name, ...args]) => calls.push([name, args]);
  w.beacon.q.splice(0).forEach(take);
  w.beacon.q.push = take;
  return calls;
};
const plain = (x) => JSON.parse(JSON.stringify(x));

test("calls wait in order, with their arguments", () => {
  const w = page();
  vm.runInContext(
    `beacon.log("a"); beacon.consent("granted"); beacon.log("b", { x: [1] }); beacon.view(); beacon.init({ page: "full" }); beacon.flush(); beacon.install()`,
    w,
  );
  const want = [["log", ["a"]], ["consent", ["granted"]], ["log", ["b", { x: [1] }]], ["view", []], ["init", [{ page: "full" }]], ["flush", []], ["install", []]];
  assert.deepEqual(plain(arrive(w)), want);
});

test("an argument that is an array stays one", () => {
  const w = page();
  vm.runInContext(`beacon.log("a", [1, [2]])`, w);
  assert.deepEqual(plain(w.beacon.q), [["log", "a", [1, [2]]]]);
});

test("functions taken before the client came call it afterwards", () => {
  const w = page();
  vm.runInContext("var { log, view } = beacon; log(1)", w);
  const calls = arrive(w);
  w.beacon = {}; // the client's own
  vm.runInContext("log(2); view('x')", w);
  assert.deepEqual(plain(calls), [["log", [1]], ["log", [2]], ["view", ["x"]]]);
});

test("where the client never comes, no more than a hundred calls are kept, and none throws", () => {
  const w = page();
  vm.runInContext("for (var i = 0; i < 1e4; i++) beacon.log(i)", w);
  assert.equal(w.beacon.q.length, 100);
  assert.deepEqual(plain(w.beacon.q[99]), ["log", 99]);
  const calls = arrive(w);
  w.beacon.log("later");
  assert.deepEqual(plain(calls.at(-1)), ["log", ["later"]]);
});

test("it takes the place of neither the client nor another stub", () => {
  const own = { log() {} };
  assert.equal(page({ beacon: own }).beacon, own);
  const w = page();
  w.beacon.log("first");
  const { q } = w.beacon;
  vm.runInContext(stub, w);
  assert.equal(w.beacon.q, q);
  assert.equal(q.length, 1);
});

test("an element with the id of beacon is not the client", () => {
  const w = page({ beacon: { tagName: "A" } });
  w.beacon.log("a");
  assert.deepEqual(plain(w.beacon.q), [["log", "a"]]);
});
