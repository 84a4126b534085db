// What was refused, and how the parts of the server are.
import { byId, count, element, many, put, shown, size, span, visible } from "./text.js";
import { refusal } from "./event.js";

const most = 50;
const list = byId("refusals");
let reasons = {}; // as seen here
let stats; // of the handler, which has seen more

let last = 0; // number of the newest

// forgetRefused is for another run of the server.
export function forgetRefused() {
  last = 0;
  list.replaceChildren();
}

// takeRefused keeps refusals, oldest first.
export function takeRefused({ total, reasons: counts, items }) {
  reasons = counts;
  for (const r of items) {
    if (r.n <= last) continue; // a new stream tells of all that are kept
    last = r.n;
    list.prepend(refusal(r));
  }
  while (list.children.length > most) list.lastElementChild.remove();
  renderRefused(total);
}

export function takeStats(s) {
  stats = s;
  renderRefused();
}

let seen = 0;
function renderRefused(total = seen) {
  seen = total;
  const counts = stats ? { ...stats.refused } : reasons;
  const n = stats ? Object.values(counts).reduce((a, b) => a + b, 0) + (stats.failed ?? 0) : seen;
  if (stats?.failed) counts["failed (5xx)"] = stats.failed;
  put(byId("n-refused"), count(n));
  put(byId("refused-of"), stats ? `of ${many(stats.received, "request")}, ${count(stats.delivered)} delivered` : "");
  const sorted = Object.entries(counts).sort((a, b) => b[1] - a[1]);
  byId("reasons").replaceChildren(...sorted.map(([r, k]) => element("div", "", element("dt", "", shown("", r, 40)), element("dd", "", count(k)))));
  byId("no-refusals").hidden = n > 0 || seen > 0;
}

const states = { ok: "works", failing: "fails", hangs: "does not answer", asking: "is asked" };

export function takeHealth(checks) {
  const bad = checks.filter((c) => c.state === "failing" || c.state === "hangs");
  byId("health").hidden = byId("to-health").hidden = checks.length === 0;
  put(byId("n-health"), bad.length ? `${bad.length} failing` : "ok");
  byId("n-health").dataset.state = bad.length ? "bad" : "ok";
  byId("checks").replaceChildren(...checks.map(check));
}

function check(c) {
  const state = element("span", "check-state", states[c.state] ?? c.state);
  state.dataset.state = c.state;
  const e = element("div", "check", element("h3", "", shown("", c.name), " ", state));
  if (c.error) e.append(element("p", "note", ...visible(c.error)));
  const numbers = Object.entries(c.stats ?? {});
  if (numbers.length) {
    const dl = element("dl", "numbers");
    for (const [name, v] of numbers) dl.append(element("div", v ? "" : "zero", element("dt", "", shown("", label(name))), element("dd", "", ...value(name, v))));
    e.append(dl);
  }
  return e;
}

const label = (name) => name.replace(/_(ns|bytes)$/, "").replaceAll("_", " ");

const duration = (ns) => (ns < 1e6 ? `${(ns / 1e3).toFixed(0)} µs` : ns < 1e9 ? `${(ns / 1e6).toFixed(1)} ms` : span(ns / 1e6));

// histogram says of a beacon.Histogram how many it has counted, and below what most were.
function histogram(name, { bounds, counts }) {
  const all = counts.reduce((a, b) => a + b, 0);
  if (!all) return "none";
  const text = (n) => (name.endsWith("seconds") ? duration(n * 1e9) : name.endsWith("bytes") ? size(n) : count(n));
  let sum = 0;
  const i = counts.findIndex((n) => (sum += n) >= 0.99 * all);
  return `${count(all)}, ${i < bounds.length ? `99 % within ${text(bounds[i])}` : `some above ${text(bounds.at(-1))}`}`;
}

function value(name, v) {
  if (typeof v === "number") {
    if (name.endsWith("_ns")) return [duration(v)];
    return [/bytes$|^free$/.test(name) ? size(v) : count(v)];
  }
  if (typeof v === "boolean") return [v ? "yes" : "no"];
  if (typeof v === "string" && /^\d{4}-\d\d-\d\dT/.test(v)) {
    const t = new Date(v);
    return [isNaN(t) ? v : t.toLocaleTimeString("en-GB")];
  }
  if (Array.isArray(v?.bounds) && Array.isArray(v.counts)) return [histogram(name, v)];
  return visible((typeof v === "string" ? v : JSON.stringify(v) ?? "").slice(0, 300));
}
