// Bars for page views. What is known of one are the totals at each of its reports, so
// between two reports the bar shows how much there was of each, hidden first: reports are
// sent when a page is hidden.
import { element, minute, path, plain, span } from "./text.js";

const minutes = [10, 30, 60, 180, 360, 720, 1440, 2880];
const quiet = 60e3; // after which nobody is taken to be there still

// Open is what a page view of now would belong to, and live what was just heard of: but what
// comes late is of a visit that is over, and what is to come is of a clock that is wrong.
export const open = (s, t, gap) => Math.abs(t - Math.max(s.end, s.start)) <= gap;
export const live = (s, t, gap) => open(s, t, gap) && t - s.heard < quiet;

// scale returns the time that is drawn, from and to.
export function scale(sessions, chosen, t) {
  let m = chosen;
  if (!m) {
    const from = Math.min(t, ...sessions.map((s) => s.start));
    m = minutes.find((x) => x * 60e3 * 0.97 >= t - from) ?? minutes.at(-1);
  }
  return { from: t - m * 60e3, to: t };
}

const steps = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440].map((m) => m * 60e3);

// axis draws the times into e.
export function axis(e, { from, to }, most = 6) {
  const step = steps.find((x) => (to - from) / x <= most) ?? steps.at(-1);
  const zone = new Date(to).getTimezoneOffset() * 60e3;
  const marks = [];
  for (let x = Math.ceil((from - zone) / step) * step + zone; x <= to; x += step) {
    const at = (x - from) / (to - from);
    if (at < 0.04 || at > 0.96) continue;
    const mark = element("span", "tick", minute(x));
    mark.style.insetInlineStart = percent(at);
    marks.push(mark);
  }
  e.replaceChildren(...marks);
}

const percent = (x) => `${(x * 100).toFixed(3)}%`;

function box(className, from, to) {
  const e = element("span", className);
  e.style.insetInlineStart = percent(from);
  e.style.width = percent(Math.max(0, to - from));
  return e;
}

// bar draws a page view whose own time is all of the bar.
function bar(v, parts) {
  const whole = v.end - v.start;
  const all = [];
  if (whole > 0) {
    for (const [from, to, visible, engaged] of parts) {
      const begins = to - visible; // hidden until then
      const idle = begins + engaged;
      if (engaged > 0) all.push(box("engaged", (begins - v.start) / whole, (idle - v.start) / whole));
      if (visible > engaged) all.push(box("visible", (idle - v.start) / whole, (to - v.start) / whole));
    }
  }
  return all;
}

// total is a page view as one part: where there are too many to be drawn.
const total = (v) => [[v.start, v.end, Math.min(v.visible, v.end - v.start), Math.min(v.engaged, v.end - v.start)]];

// draw returns the bars of a session, in as many lanes as it had pages open at once; the
// places of the bars are relative to the session.
export function draw(s) {
  const whole = Math.max(s.end - s.start, 1);
  const seen = s.pages.filter((v) => !v.unseen);
  const lanes = [];
  const at = seen.map((v) => {
    let i = lanes.findIndex((end) => end <= v.start);
    if (i < 0) i = lanes.length < 3 ? lanes.push(0) - 1 : lanes.indexOf(Math.min(...lanes));
    lanes[i] = Math.max(v.end, v.start + 1);
    return i;
  });
  const many = seen.reduce((n, v) => n + v.parts.length, 0) > 60;
  const holder = element("span", "bars");
  holder.dataset.lanes = Math.max(1, lanes.length);
  seen.forEach((v, i) => {
    const e = box("view", Math.max(0, (v.start - s.start) / whole), Math.min(1, (v.end - s.start) / whole));
    e.dataset.lane = at[i];
    if (v.crashed) e.classList.add("crashed");
    e.append(...bar(v, many ? total(v) : v.parts));
    holder.append(e);
  });
  return holder;
}

// alone returns the bar of one page view of a session that takes all the width.
export function alone(v, s) {
  const whole = Math.max(s.end - s.start, 1);
  const e = box("view", Math.max(0, (v.start - s.start) / whole), Math.min(1, (v.end - s.start) / whole));
  e.append(...bar(v, v.parts));
  if (v.unseen) e.classList.add("unseen-page");
  const holder = element("span", "bars", e);
  holder.dataset.lanes = 1;
  holder.style.width = "100%";
  return element("span", "track", holder);
}

// place moves the bars of a session to where they are in the time that is drawn.
export function place(track, s, { from, to }, t, gap) {
  const width = to - from;
  const [bars, tail] = track.children;
  const start = (s.start - from) / width, end = (s.end - from) / width;
  track.classList.toggle("before", end < 0);
  bars.hidden = end < 0;
  bars.style.insetInlineStart = percent(start);
  bars.style.width = percent(end - start);
  tail.hidden = !live(s, t, gap) || end < 0;
  tail.style.insetInlineStart = percent(end);
  tail.style.width = percent(Math.max(0, (t - s.end) / width));
}

// told says in words what the bars show.
export function told(s) {
  const one = (v) => `${plain(path(v.page ?? "")) || "a page"}: ${span(v.end - v.start)}, engaged ${span(v.engaged)}, hidden ${span(hidden(v))}`;
  const seen = s.pages.filter((v) => !v.unseen);
  return seen.slice(0, 3).map(one).join("; ") + (seen.length > 3 ? `; and ${seen.length - 3} more` : "");
}

export const hidden = (v) => Math.max(0, v.end - v.start - v.visible);
