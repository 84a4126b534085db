// What names can be got wrong in. It prints what it comes to, which must be the same
// whatever they are.
const print = (...x) => console.log(JSON.stringify(x));

// Shorthand, patterns, defaults that see what is before them.
const one = 1;
let two = 2;
const { a = one, b: { c = a } = {}, ...rest } = { b: { d: 4 }, e: 5, f: 6 };
const [g, , h = g, ...i] = [7, 8, undefined, 9, 10];
print({ one, two, a, c, rest, g, h, i });
[two, { two: rest.x = two }] = [3, {}];
({ one: two = 11, ...rest.y } = { z: two });
print(two, rest);
const unused = (({ one: never, ["t" + "wo"]: alsoNot, three }) => three)({ one: 1, two: 2, three: 3 });
print(unused);

// Own properties, in all the places where they can be.
const _p = 1;
const own = { _p, _q: 2, _r() { return this._p; }, get _s() { return this._q; }, e: 1, t: 2 };
const { _q, _r: r = 0, _s: { length = 5 } = "" } = own;
own._p += 2;
print(own._p, own?._q, own._r(), own._s, _q, typeof r, length, own.e, own.t, Object.keys({ ...own, _p: 0 }).length);

// Scopes within scopes, with the same names.
let x = "outer";
{
  let x = "block";
  try {
    throw "thrown";
  } catch (e) {
    let t = e + x;
    print(t);
  }
  for (let x = 0, n = 2; x < n; x++) print(x);
  for (const x of [[1, 2]]) for (const [y, z] of [x]) print(x, y, z);
  for (var hoisted in { k: 1 }) print(hoisted);
  switch (x) {
    case "block":
      let x = "case";
      print(x);
  }
  print(x, hoisted);
}
print(x);
const later = () => declared(afterwards);
function declared(x, y = x) {
  var x;
  return [x, y, typeof inner, arguments.length];
  function inner() {}
}
const afterwards = "afterwards";
print(later());
const factorial = function self(n) {
  return n < 2 ? 1 : n * self(n - 1);
};
print(factorial(5));
x: for (const x of [1, 2, 3]) {
  e: for (const e of [x]) {
    if (e === 2) continue x;
    if (e === 3) break x;
    print(e);
    break e;
  }
}

// What only looks like names.
const e = 3, t = 4, n = 5;
print(`e${`t${n}`}${e}`, "e t n $1 ${e}", /[e/"](t)$/gi.exec('a"t')[1], { e: t, "t": e, 1: n, [n]: 6 }, e/t/n);
print(typeof window, typeof console, globalThis.e);

// Classes.
const Parent = class Own {
  #e = 1;
  static made = 0;
  static { this.made += 1; }
  constructor(e) {
    if (new.target === Own) this.kind = "own";
    this.e = e + this.#e;
    Own.made++;
  }
  get t() { return this.#e; }
  set t(e) { this.#e = e; }
  static of(e) { return new this(e); }
  ["com" + "puted"]() { return Parent === Own; }
  async *n() { yield* [this.#e, await this.e]; }
};
class Child extends Parent {
  n(e) { return super.computed() && e; }
}
const child = Child.of(5);
child.t = 6;
print(new Parent(1), child, child.t, child.n(7), Parent.made, Own());
function Own() { return "another"; }

// Functions called in one place.
let moving = 1;
const keeps = (v) => () => v;
const kept = keeps(moving);
moving = 2;
print(kept(), moving);
const bumps = (v) => { v++; return v; };
print(bumps(x.length), x.length);
const fixed = "fixed";
const names = (v, w = v, ...more) => [v, w, more];
print(names(fixed, undefined, fixed, fixed));
const order = [];
const note = (v) => (order.push(v), v);
const twice = (v, w) => (order.push("called"), v + w);
print(twice(note("a"), note("b")), order);
const recursive = (n) => (n ? recursive(n - 1) : "done");
print([2].map((n) => recursive(n)));
const maybe = moving > 5 ? () => 1 : undefined;
print(maybe?.());
const usesThis = () => typeof this;
const object = { go() { return usesThis(); } };
print(object.go());
const usesArguments = function () {
  const inside = () => arguments.length;
  return (function () { return inside(); })(1, 2, 3);
};
print(usesArguments(1));
const callbacks = [];
const add = (v) => callbacks.push(() => v);
for (let v = 0; v < 3; v++) add(v);
print(callbacks.map((f) => f()));
const shadowed = (n) => fixed + n;
print([1].map((fixed) => shadowed(fixed)));
const same = () => "same";
const identities = new Set();
for (let i = 0; i < 3; i++) identities.add({ same }.same);
print(identities.size);
const valued = () => "value";
const Classy = class { m() { return "m"; } };
const held = { valued, Classy };
print(held.valued(), new held.Classy().m());
const wrapped = { made: () => ({ made: once }) };
const once = () => 1;
print(wrapped.made().made === wrapped.made().made);
const waits = async (v) => (await v) + 1;
const result = waits(Promise.resolve(1)).then((v) => print("awaited", v));
(async () => {
  await result;
  for await (const v of new Parent(1).n()) print(v);
})();
export { x as exported, child };
export const direct = 1;
print(direct);
