// The table of sessions.
import { age, byId, element, minute, now, path, plain, put, shown, span, time, visible } from "./text.js";
import { axis, draw, live, open, place, scale, told } from "./timeline.js";

const few = 12; // rows, unless somebody wants more

const body = byId("rows");
const more = byId("more-sessions");
const choice = byId("window");

const all = new Map(); // by id
const rows = new Map(); // the elements of those that are shown
let gap = 18e5;
let most = few;

export const sessions = () => all;
export const link = (id) => `#session=${encodeURIComponent(id)}`;
export const isOpen = (s, t) => open(s, t, gap);
export const setGap = (ms) => (gap = ms);

more.addEventListener("click", () => {
  most = most === few ? Infinity : few;
  render();
});
choice.addEventListener("change", () => render());

// take keeps what the server says of sessions.
export function take({ all: fresh, rows: changed = [], gone = [] }) {
  if (fresh) all.clear();
  for (const id of gone) all.delete(id);
  for (const s of changed) all.set(s.id, s);
}

// heading is where a session went: its first page, and its last if that is another.
export function heading(s) {
  const entry = path(s.entry ?? "") || "no page";
  const exit = path(s.exit ?? "") || entry;
  const e = shown("pages", entry, 40);
  if (exit !== entry) e.append(" → ", ...visible(exit.length > 40 ? exit.slice(0, 40) + "…" : exit));
  return e;
}

const cell = (className, ...children) => {
  const e = element("td", className, ...children);
  e.setAttribute("role", "cell");
  return e;
};

function make(s) {
  const a = element("a", "", heading(s));
  a.href = link(s.id);
  const state = element("span", "state");
  const th = element("th", "", a, element("span", "who", state, shown("key-of", s.key, 10)));
  th.scope = "row";
  th.setAttribute("role", "rowheader");
  const bars = draw(s);
  const track = element("span", "track", bars, element("span", "tail"));
  track.setAttribute("role", "img");
  track.setAttribute("aria-label", told(s));
  const tr = element("tr", "", th,
    cell("num began", time(s.start)),
    cell("num elapsed", element("span", "known", span(s.elapsed)), element("span", "since")),
    cell("num engaged-time", span(s.engaged)),
    cell("num views", `${s.views}`),
    cell("when", track));
  tr.setAttribute("role", "row");
  tr.querySelector("time").textContent = minute(s.start);
  tr.of = s;
  return tr;
}

// order is open ones first, and the one that began last first.
function order(t) {
  return [...all.values()].sort((a, b) => isOpen(b, t) - isOpen(a, t) || b.start - a.start);
}

export function render() {
  const t = now();
  const sorted = order(t);
  const wanted = sorted.slice(0, most);
  for (const [id, tr] of rows) {
    if (!wanted.some((s) => s.id === id)) {
      tr.remove();
      rows.delete(id);
    }
  }
  let at = body.firstElementChild;
  for (const s of wanted) {
    let tr = rows.get(s.id);
    if (tr && tr.of !== s) { // it changed: what has the focus keeps it
      const focused = tr.contains(document.activeElement);
      const next = make(s);
      if (at === tr) at = next;
      tr.replaceWith(next);
      if (focused) next.querySelector("a").focus({ preventScroll: true });
      rows.set(s.id, (tr = next));
    } else if (!tr) {
      rows.set(s.id, (tr = make(s)));
    }
    if (tr === at) at = at.nextElementSibling;
    else body.insertBefore(tr, at);
  }
  byId("table").hidden = sorted.length === 0;
  byId("no-sessions").hidden = sorted.length > 0;
  more.hidden = sorted.length <= few;
  more.textContent = most === few ? `Show all ${sorted.length}` : "Show fewer";
  tick(t);
}

// tick moves what moves by itself.
export function tick(t = now()) {
  const range = scale([...rows.values()].map((tr) => tr.of).filter((s) => isOpen(s, t) || t - s.end < 36e5), Number(choice.value), t);
  const header = byId("axis");
  axis(header, range, Math.max(2, Math.floor(header.clientWidth / 70)));
  for (const tr of rows.values()) {
    const s = tr.of;
    const on = live(s, t, gap), is = isOpen(s, t);
    tr.dataset.state = on ? "live" : is ? "open" : "ended";
    put(tr.querySelector(".state"), on ? "here" : is ? "quiet" : "ended");
    put(tr.querySelector(".since"), is ? `+${age(t - Math.max(s.end, s.start))}` : "");
    place(tr.querySelector(".track"), s, range, t, gap);
  }
  let here = 0, n = 0;
  for (const s of all.values()) {
    here += live(s, t, gap);
    n += isOpen(s, t);
  }
  put(byId("n-here"), `${here}`);
  put(byId("n-open"), `${n}`);
}

export const title = (s) => plain(path(s.entry ?? "") || "Session");
