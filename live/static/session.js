// One session: its page views, and its events in order.
import { age, byId, element, many, minute, now, path, put, shown, span, time } from "./text.js";
import { line } from "./event.js";
import { alone, hidden } from "./timeline.js";
import { heading, isOpen, sessions } from "./sessions.js";

const dialog = byId("session");
const list = byId("session-events");
const most = 500; // events of a session that goes on for long
let id = ""; // of the one that is shown
let drawn; // what of it is on the page
let listed = new Set();

const wanted = () => {
  const m = /^#session=(.+)$/.exec(location.hash);
  if (!m) return "";
  try {
    return decodeURIComponent(m[1]);
  } catch {
    return "";
  }
};

// nearest is the session of a key that an event is of: of several, the one that is not
// far from it in time.
export function nearest(e) {
  let best, least = Infinity;
  for (const s of sessions().values()) {
    if (!e.key || s.key !== e.key) continue;
    const far = Math.max(s.start - e.time, e.time - s.end, 0);
    if (far < least) [best, least] = [s, far];
  }
  return best;
}

export function route(events) {
  const next = wanted();
  if (next === id) return;
  id = next;
  drawn = undefined;
  listed = new Set();
  list.replaceChildren();
  if (!id) {
    if (dialog.open) dialog.close();
    return;
  }
  render(events);
  if (!dialog.open) dialog.showModal();
  byId("session-title").focus();
  dialog.scrollTop = 0;
}

byId("close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (e) => {
  if (e.target === dialog) dialog.close(); // beside it
});
dialog.addEventListener("close", () => {
  const was = id;
  id = "";
  if (wanted()) history.replaceState(null, "", location.pathname + location.search);
  for (const a of document.querySelectorAll("#rows a")) {
    if (a.hash === `#session=${encodeURIComponent(was)}`) a.focus();
  }
});

export function render(events) {
  if (!id) return;
  const s = sessions().get(id);
  const about = byId("session-about");
  if (!s) {
    if (drawn !== null) {
      byId("session-title").replaceChildren("Session");
      about.replaceChildren(element("p", "note", "It is not kept here any more, or has another beginning now: a page view came late that was before it."));
      byId("views").tBodies[0].replaceChildren();
      put(byId("session-events-of"), "");
    }
    drawn = null;
    return;
  }
  if (drawn !== s) {
    drawn = s;
    byId("session-title").replaceChildren(heading(s));
    facts(about, s);
    byId("views").tBodies[0].replaceChildren(...s.pages.map((v) => row(v, s)));
  }
  const t = now();
  put(byId("session-state"), isOpen(s, t) ? `open, last heard ${age(t - s.heard)} ago` : "ended");
  const mine = events.filter((e) => !listed.has(e.n) && !e.missed && (e.key ? nearest(e) === s : e.view === s.key));
  for (const e of mine) {
    listed.add(e.n);
    const li = line(e);
    li.at = e.time;
    let after = list.lastElementChild; // what comes late is put where it belongs
    while (after && after.at > e.time) after = after.previousElementSibling;
    if (after) after.after(li);
    else list.prepend(li);
  }
  while (list.children.length > most) list.firstElementChild.remove();
  for (const n of listed) {
    if (n >= events[0]?.n) break;
    listed.delete(n); // it does not come again
  }
  put(byId("session-events-of"), list.children.length ? "" : "None of its events is kept here any more.");
}

function facts(e, s) {
  const dl = element("dl", "numbers");
  const fact = (name, ...value) => dl.append(element("div", "", element("dt", "", name), element("dd", "", ...value)));
  fact("Elapsed", span(s.elapsed));
  fact("Engaged", span(s.engaged));
  fact("Page views", `${s.views}`);
  fact("Began", time(s.start));
  const state = element("span", "");
  state.id = "session-state";
  fact("State", state);
  if (s.logged) fact("Logged", many(s.logged, "message"));
  if (s.attached) fact("Beside", many(s.attached, "more event"));
  if (s.referrer) fact("Came from", shown("", s.referrer, 80));
  fact("Visitor", shown("key-of", s.key));
  e.replaceChildren(dl, ...(s.notes ?? []).map((n) => element("p", "note", n)));
  if (s.more) e.append(element("p", "nothing", `${many(s.more, "earlier page view")} not shown.`));
}

function row(v, s) {
  const name = element("th", "", shown("pages", path(v.page ?? "") || "no page", 60));
  name.scope = "row";
  if (v.name) name.append(" ", shown("nothing", v.name, 40));
  if (v.unseen) name.append(" ", element("span", "mark", "never seen"));
  if (v.crashed) name.append(" ", element("span", "mark", "crashed"));
  const num = (text) => element("td", "num", text);
  const began = time(v.start);
  began.textContent = minute(v.start);
  const bar = alone(v, s);
  bar.setAttribute("aria-hidden", "true"); // the numbers are beside it
  return element("tr", "", name, element("td", "num", began), num(span(v.end - v.start)), num(span(v.engaged)),
    num(span(v.visible)), num(span(hidden(v))), element("td", "when", bar));
}

