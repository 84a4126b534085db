// The automatic events, on a page made of fakes. What the browsers do themselves,
// such as shadow trees, labels and middle clicks, internal/browsers tests.
import assert from "node:assert/strict";
import { test } from "node:test";
import { evaluate } from "./link.mjs";

/** As much of an element as a delegated listener asks for. */
class Element {
  constructor(tag, attributes = {}, parent) {
    Object.assign(this, { tag, attributes, parent, nodeType: 1 });
  }
  getAttribute(name) {
    return this.attributes[name] ?? null;
  }
  getAttributeNames() {
    return Object.keys(this.attributes);
  }
  matches(selector) {
    switch (selector) {
      case "a,area":
        return this.tag === "a" || this.tag === "area";
      case "form":
        return this.tag === "form";
      case "[data-beacon-event]:not(form)":
        return this.tag !== "form" && "data-beacon-event" in this.attributes;
    }
    throw new SyntaxError(selector);
  }
}

const files =
  process.env.CLIENT === "dist"
    ? { "auto.js": "dist/auto.min.mjs", "auto.classic.js": "dist/auto.min.js" }
    : { "auto.js": "src/auto.entry.js", "auto.classic.js": "src/auto.classic.js" };

class Page extends EventTarget {
  globalThis = this;
  window = this;
  Element = Element;
  Document = class {
    get currentScript() {
      return this.script;
    }
  };
  location = { host: "example.com" };
  logged = [];
  warned = [];
  timers = [];
  console = { warn: (text) => this.warned.push(text) };
  setTimeout = (f) => this.timers.push(f);

  constructor(script) {
    super();
    this.document = Object.assign(new this.Document(), { baseURI: "https://example.com/shop/?q=secret", script });
  }

  get log() {
    return (msg, data) => this.logged.push([msg, data]);
  }

  /** Runs a file with modules of its own, as each script of a page does. */
  load(file) {
    return evaluate(files[file], this);
  }

  fire(type, el, props) {
    const path = [];
    for (let e = el; e; e = e.parent) path.push(e);
    this.dispatchEvent(Object.assign(new Event(type, { cancelable: true }), { button: 0, composedPath: () => [...path, this] }, props));
    for (const f of this.timers.splice(0)) f();
    return this.logged.splice(0);
  }

  click(el, props) {
    return this.fire("click", el, props);
  }
}

const start = async (options) => {
  const page = new Page();
  const { auto } = page.load("auto.js");
  page.auto = auto;
  page.stop = auto({ log: page.log, ...options });
  return page;
};
const a = (href, more, parent) => new Element("a", { href, ...more }, parent);

test("a link that leads away is told without its query", async () => {
  const page = await start();
  const link = a("https://user:secret@other.example/path?token=1#part");
  const want = [["outbound", { url: "https://other.example/path" }]];
  assert.deepEqual(page.click(link), want);
  assert.deepEqual(page.click(new Element("b", {}, new Element("i", {}, link))), want, "on a child");
  assert.deepEqual(page.click(new Element("area", { href: "//other.example/path" })), want, "of an image map");
  assert.deepEqual(page.click(new Element("a", { "xlink:href": "https://other.example/path" })), want, "in SVG");
  assert.deepEqual(page.fire("auxclick", link, { button: 1 }), want, "with the middle button");
  assert.deepEqual(page.fire("auxclick", link, { button: 2 }), [], "with the right button");
  assert.deepEqual(page.click(a("mailto:jo@example.com?subject=hello")), [["outbound", { url: "mailto:" }]]);
  assert.deepEqual(page.click(a("tel:+15551234")), [["outbound", { url: "tel:" }]]);
  for (const href of ["/next", "?page=2", "#top", "https://example.com/x", "javascript:void 0", "javascript:open.pdf", "blob:https://example.com/1", "about:blank", "https://[", ""]) {
    assert.deepEqual(page.click(a(href)), [], href);
  }
  assert.deepEqual(page.click(new Element("p")), []);
  assert.deepEqual(page.click(new Element("a", { name: "here" }, link)), want, "one without an address leads nowhere");
  page.location.host = ""; // of a srcdoc frame
  assert.deepEqual(page.click(a("/next")), []);
  assert.deepEqual(page.click(link), want);
});

test("options", async () => {
  assert.deepEqual((await start({ outbound: false })).click(a("https://other.example/")), []);
  const inside = await start({ internal: ["other.example"] });
  assert.deepEqual(inside.click(a("https://shop.other.example/")), []);
  assert.deepEqual(inside.click(a("https://other.example/")), []);
  assert.deepEqual(inside.click(a("https://another.example/")), [["outbound", { url: "https://another.example/" }]]);
  const whole = await start({ url: (url) => url.search });
  assert.deepEqual(whole.click(a("https://other.example/?ref=1")), [["outbound", { url: "?ref=1" }]]);
  const broken = await start({ url: () => { throw new Error("of the page"); } });
  assert.deepEqual(broken.click(a("https://other.example/")), []);
});

test("downloads, by attribute and by ending", async () => {
  const page = await start();
  const of = (url) => [["download", { url }]];
  assert.deepEqual(page.click(a("/files/Report.PDF?key=1")), of("https://example.com/files/Report.PDF"));
  assert.deepEqual(page.click(a("https://other.example/a.zip")), of("https://other.example/a.zip"), "and not outbound too");
  assert.deepEqual(page.click(a("/export", { download: "" })), of("https://example.com/export"));
  assert.deepEqual(page.click(a("blob:https://example.com/1", { download: "secret name.txt" })), of("blob:"));
  assert.deepEqual(page.click(a("/page.html")), []);
  assert.deepEqual(page.click(a("/constructor.constructor")), []);
  const own = await start({ downloads: ["stl"] });
  assert.deepEqual(own.click(a("/part.stl")), of("https://example.com/part.stl"));
  assert.deepEqual(own.click(a("/part.pdf")), []);
  assert.deepEqual((await start({ downloads: false })).click(a("/part.pdf", { download: "" })), []);
});

test("forms, and nothing of what is in them", async () => {
  const page = await start();
  const form = new Element("form", { id: "login", name: "f", action: "/login?next=secret" });
  assert.deepEqual(page.fire("submit", form), [["form", { id: "login", name: "f", action: "https://example.com/login" }]]);
  const other = new Element("button", { formaction: "https://other.example/x?y" });
  assert.deepEqual(page.fire("submit", form, { submitter: other })[0][1].action, "https://other.example/x");
  // Fields hide what a form has of its own.
  Object.assign(form, { getAttribute: new Element("input"), matches: new Element("input"), nodeType: new Element("input"), id: new Element("input") });
  assert.deepEqual(page.fire("submit", form)[0][1].id, "login");
  assert.deepEqual(page.click(new Element("a", { href: "https://other.example/" }, form)).length, 1);
  assert.deepEqual((await start({ forms: false })).fire("submit", form), []);
  assert.deepEqual(page.fire("submit", new Element("div", { action: "/x" })), [], "an event that only has the name");
});

test("what the page marks", async () => {
  const page = await start();
  const button = new Element("button", { "data-beacon-event": "signup", "data-beacon-plan-name": "pro", class: "x", "data-other": "y" });
  assert.deepEqual(page.click(new Element("span", {}, button)), [["signup", { planName: "pro" }]]);
  const link = a("https://other.example/x", { "data-beacon-event": "partner", "data-beacon-place": "footer" });
  assert.deepEqual(page.click(link), [["partner", { url: "https://other.example/x", place: "footer" }]], "once, under the page's name");
  const around = new Element("div", { "data-beacon-event": "card" });
  assert.deepEqual(page.click(a("https://other.example/x", {}, around)), [["card", {}], ["outbound", { url: "https://other.example/x" }]]);
  const silent = new Element("div", { "data-beacon-event": "" });
  assert.deepEqual(page.click(a("https://other.example/x", {}, silent)), []);
  const form = new Element("form", { "data-beacon-event": "search", "data-beacon-where": "top", id: "s" });
  assert.deepEqual(page.click(new Element("input", {}, form)), [], "a form is told when it is submitted");
  assert.deepEqual(page.fire("submit", form), [["search", { id: "s", name: undefined, action: undefined, where: "top" }]]);
  assert.deepEqual(page.click(a("https://[", {}, around)), [["card", {}]]);
  const named = await start({ forms: false });
  assert.equal(named.fire("submit", form)[0][0], "search");
  const off = await start({ events: false });
  assert.equal(off.fire("submit", form)[0][0], "form");
  assert.deepEqual(off.click(button), []);
  assert.deepEqual(off.click(link), [["outbound", { url: "https://other.example/x" }]]);
});

test("a label and what it labels are one click, another click is another", async () => {
  const page = await start();
  const label = new Element("label", { "data-beacon-event": "terms" });
  const path = (el) => Object.assign(new Event("click"), { button: 0, composedPath: () => [el, label, page] });
  page.dispatchEvent(path(new Element("span")));
  page.dispatchEvent(path(new Element("input")));
  assert.deepEqual(page.logged.splice(0), [["terms", {}]]);
  for (const f of page.timers.splice(0)) f();
  assert.equal(page.click(label).length, 1);
});

test("nothing is thrown into the page, and no click is held up", async () => {
  const page = await start({ log: () => { throw new Error("of the log"); } });
  let prevented;
  page.addEventListener("click", (e) => (prevented = e.defaultPrevented));
  page.click(a("https://other.example/"));
  assert.equal(prevented, false);
  page.dispatchEvent(Object.assign(new Event("click"), { button: 0, composedPath: () => [null, {}, undefined] }));
});

test("one of it on a page, which can end and begin again", async () => {
  const page = await start();
  const { auto: second } = page.load("auto.js");
  second({ log: page.log, outbound: false });
  assert.deepEqual(page.click(a("https://other.example/")), [], "the last options count");
  const stop = second({ log: page.log });
  assert.equal(page.click(a("https://other.example/")).length, 1);
  stop();
  assert.deepEqual(page.click(a("https://other.example/")), []);
  page.auto({ log: page.log });
  assert.equal(page.click(a("https://other.example/")).length, 1);
  stop(); // of an earlier one
  page.auto({ log: page.log });
  assert.equal(page.click(a("https://other.example/")).length, 1);
});

test("without a log it is the one of the page's client", async () => {
  const page = await start({ log: undefined });
  assert.deepEqual(page.click(a("https://other.example/")), []);
  page.beacon = { log: page.log };
  assert.equal(page.click(a("https://other.example/")).length, 1);
  page[Symbol.for("beacon")] = { log: (msg) => page.logged.push("shared " + msg) };
  assert.deepEqual(page.click(a("https://other.example/")), ["shared outbound"]);
});

test("on a server it does nothing", async () => {
  const { auto } = await import("../" + files["auto.js"]);
  auto({})();
});

test("the classic script: its tag's options, and a client that comes later", async () => {
  const page = new Page({ dataset: { downloads: "stl, obj", internal: "a.example b.example", forms: "false", colour: "red" } });
  page.load("auto.classic.js");
  assert.deepEqual(page.warned, ["beacon: automatic events have no data-colour"]);
  page.click(a("https://other.example/1"));
  page.click(a("https://www.b.example/"));
  page.fire("submit", new Element("form"));
  page.click(a("/x.obj"));
  page.beacon = { log: page.log };
  const late = page.timers.splice(0);
  assert.equal(late.length, 1);
  late[0]();
  assert.deepEqual(page.logged.splice(0), [["outbound", { url: "https://other.example/1" }], ["download", { url: "https://example.com/x.obj" }]]);
  assert.equal(page.click(a("https://other.example/2")).length, 1);
  page.beacon = undefined;
  for (let i = 0; i < 60; i++) page.click(a(`https://other.example/${i}`));
  page.beacon = { log: page.log };
  assert.equal(page.click(a("https://other.example/last")).length, 50, "not for ever");
});
