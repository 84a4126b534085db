// One event, as the server decoded it: a line, and behind it all that is known.
import { age, count, element, many, now, shown, size, path, time, visible } from "./text.js";

const kinds = { empty: "No data", text: "Text", json: "JSON", form: "Form", binary: "Binary", ping: "Ping", report: "Report" };
export const kind = (k) => kinds[k] ?? String(k);

const nothing = (text) => element("span", "nothing", text);

// pairs is a list of names and values.
function pairs(all, className = "pairs") {
  const dl = element("dl", className);
  for (const p of all) {
    const name = p.n === "" ? nothing("no name") : shown("", p.n);
    dl.append(element("div", "", element("dt", "", name), element("dd", "", p.file ? file(p.file) : p.v ? block(p.v) : nothing("empty"))));
  }
  return dl;
}

const block = (text) => element("span", "value", ...visible(text, true));

function file(f) {
  const about = element("p", "file");
  if (f.name) about.append("“", ...visible(f.name), "”, ");
  about.append(...visible(f.type || "no type"), `, ${size(f.size)}`);
  return f.head ? element("div", "", about, pre(f.head)) : about;
}

function pre(text) {
  const e = element("pre", "", ...visible(text, true));
  e.tabIndex = 0; // it scrolls, so it has to be within reach of a keyboard
  e.setAttribute("role", "group");
  e.setAttribute("aria-label", "content");
  return e;
}

// content shows a body.
function content(b) {
  const all = [];
  if (b.fields) all.push(pairs(b.fields));
  if (b.more) all.push(element("p", "nothing", `and ${many(b.more, "more field")}`));
  if (b.text) all.push(pre(b.text));
  if (b.json) all.push(pre(b.json));
  if (b.size) all.push(element("p", "nothing", `the beginning of ${size(b.size)}`));
  if (b.file) all.push(file(b.file));
  return all;
}

// gist is a body in a line.
function gist({ body: b, query = [] }) {
  const field = (p) => `${p.n}: ${p.file ? `“${p.file.name}” ${size(p.file.size)}` : p.v || "–"}`;
  const parts = [];
  if (b.fields) parts.push(b.fields.slice(0, 12).map(field).join("   "));
  if (b.text) parts.push(b.text);
  if (b.json) parts.push(b.json.replace(/\n */g, " "));
  if (b.file) parts.push(`${b.file.type || "no type"}, ${size(b.file.size)}`);
  if (!parts.length) parts.push(query.slice(0, 12).map(field).join("   "));
  return parts.join("   ").slice(0, 240);
}

// firstLine is a text in a line.
const firstLine = (text) => text.slice(0, 400).replace(/\n.*/s, " …");

// words is what a search looks at.
const words = (e) => [e.name, kind(e.kind), e.page, e.key, e.view, e.id, gist(e)].join("\n").toLowerCase();

// Ages go on by themselves: of the lines that are shown.
export function tick(list) {
  const t = now();
  for (const e of list.querySelectorAll("[data-at]")) {
    const text = age(t - e.dataset.at);
    if (e.textContent !== text) e.textContent = text;
  }
}

export function ago(ms) {
  const e = element("span", "age", age(now() - ms));
  e.dataset.at = ms;
  e.title = "ago";
  return e;
}

// line makes the entry of an event. link says whether to lead to its session.
export function line(e, link) {
  const head = element("span", "line",
    time(e.received, "at"),
    element("span", "kind", kind(e.kind)),
    shown("name", e.name || (e.page ? path(e.page) : ""), 60),
    e.said ? element("span", "said", e.said) : "",
    e.again ? element("span", "mark", "again") : "",
    e.notes ? element("span", "mark", many(e.notes.length, "note")) : "",
    ago(e.received));
  const g = gist(e);
  const summary = element("summary", "", head, g ? element("span", "gist", ...visible(g)) : "");
  for (const p of (e.attrs ?? []).slice(0, 3)) summary.append(element("span", "gist added", element("b", "", ...visible(p.n.slice(0, 40))), " ", ...visible(firstLine(p.v ?? ""))));
  const details = element("details", "entry", summary);
  // Of most nobody wants to see more.
  details.addEventListener("toggle", () => details.append(whole(e, link)), { once: true });
  const li = element("li", "", details);
  li.words = words(e);
  li.dataset.kind = e.kind;
  return li;
}

function whole(e, link) {
  const about = [];
  const late = e.received - e.time;
  about.push({ n: "Received", v: new Date(e.received).toISOString() });
  if (late >= 1) about.push({ n: "Happened", v: `${late >= 1000 ? age(late) : `${late} ms`} before` });
  if (e.said) about.push({ n: "In session for", v: e.said });
  if (e.page) about.push({ n: "Page", v: e.page });
  if (e.key) about.push({ n: "Session", v: e.key });
  if (e.view) about.push({ n: "Page view", v: e.view });
  about.push({ n: "ID", v: e.id }, ...(e.about ?? []), { n: "Size", v: `${size(e.size)} in memory` });
  if (e.verified) about.push({ n: "Verified", v: "by its token" });
  const all = element("div", "whole", ...content(e.body));
  for (const n of e.notes ?? []) all.append(element("p", "note", ...visible(n)));
  if (e.again) all.append(element("p", "note", "An event of this ID was here before: a repetition, which counts once."));
  if (e.query) all.append(element("p", "sub", "Query"), pairs(e.query));
  if (e.attrs) all.append(element("p", "sub", "Added by the server"), pairs(e.attrs));
  all.append(element("p", "sub", "About"), pairs(about, "pairs about"));
  const to = link?.(e);
  if (to) {
    const a = element("a", "", "Its session");
    a.href = to;
    all.append(element("p", "", a));
  }
  return all;
}

// refusal makes the entry of a request that was not taken.
export function refusal(r) {
  const head = element("span", "line",
    time(r.time, "at"),
    element("span", "kind", String(r.status || "–")),
    shown("name", r.reason, 60),
    ago(r.time));
  const details = element("details", "entry", element("summary", "", head, r.why ? element("span", "gist", ...visible(r.why)) : ""));
  details.addEventListener("toggle", () => {
    const all = element("div", "whole");
    if (r.why) all.append(element("p", "", ...visible(r.why)));
    if (r.body) all.append(element("p", "sub", "What came"), file(r.body));
    if (r.about) all.append(element("p", "sub", "About"), pairs(r.about, "pairs about"));
    details.append(all);
  }, { once: true });
  return element("li", "", details);
}

// missed says that events passed by.
export const missed = (n) => element("li", "missed", `${count(n)} passed by in between: more than can be read.`);

