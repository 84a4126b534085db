// What the page is made of: elements, texts, times.
//
// All texts are what some client cared to send, so they become text nodes and nothing else.

export const byId = (id) => document.getElementById(id);

// element makes an element with a class and children, text or nodes.
export function element(name, className, ...children) {
  const e = document.createElement(name);
  if (className) e.className = className;
  e.append(...children);
  return e;
}

// put sets the text of an element, if it is another.
export function put(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

// Characters that would not show, or that would change the order of others.
const unseen = /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/gu;
const names = { "\r": "\\r", "\n": "\\n", "\t": "\\t" };

// visible returns nodes that show every character of a text; line breaks also break the
// line where lines is true.
export function visible(text, lines) {
  const nodes = [];
  let done = 0;
  for (const { 0: c, index } of text.matchAll(unseen)) {
    if (lines && (c === "\t" || c === "\n")) continue;
    nodes.push(text.slice(done, index), element("span", "unseen", names[c] ?? `\\u${c.codePointAt(0).toString(16).padStart(4, "0")}`));
    done = index + c.length;
  }
  nodes.push(text.slice(done));
  return nodes.filter((n) => n !== "");
}

// shown is visible as a span; what is short of a given length is not cut.
export function shown(className, text, most = Infinity) {
  const e = element("span", className, ...visible(text.length > most ? text.slice(0, most) + "…" : text));
  if (text.length > most) e.title = plain(text);
  return e;
}

// plain is a text for attributes, where nothing can be marked.
export const plain = (text) => text.replace(unseen, "\ufffd");

const number = new Intl.NumberFormat("en");
export const count = (n) => number.format(n);
export const many = (n, one, more = `${one}s`) => `${count(n)} ${n === 1 ? one : more}`;

export function size(n) {
  if (n < 1000) return many(n, "byte");
  const steps = ["kB", "MB", "GB", "TB"];
  let i = -1;
  do n /= 1000; while (++i < steps.length - 1 && n >= 999.5);
  return `${n < 10 ? n.toFixed(1) : Math.round(n)} ${steps[i]}`;
}

// span writes a duration of so many milliseconds.
export function span(ms) {
  const s = ms / 1000;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 59.5) return `${Math.round(s)} s`;
  const m = Math.round(s);
  if (m < 3600) return `${Math.floor(m / 60)} min ${String(m % 60).padStart(2, "0")} s`;
  return `${Math.floor(m / 3600)} h ${String(Math.floor((m % 3600) / 60)).padStart(2, "0")} min`;
}

// age writes how long ago something was.
export function age(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  return s < 86400 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
}

const hm = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const hms = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });

const safely = (format) => (ms) => (Math.abs(ms) < 8.64e15 ? format.format(ms) : "?");
export const minute = safely(hm);
export const clock = safely(hms);

// time is a moment, in the zone of who looks.
export function time(ms, className) {
  const e = element("time", className, clock(ms));
  if (Math.abs(ms) < 8.64e15) {
    e.dateTime = new Date(ms).toISOString();
    e.title = full.format(ms);
  }
  return e;
}

// The clock of the server, by what it says when the page connects.
let ahead = 0;
export const serverSays = (now) => (ahead = now - Date.now());
export const now = () => Date.now() + ahead;

// path is the part of an address that tells pages of one site apart.
export function path(page) {
  const m = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*([^]*)$/i.exec(page);
  return m ? m[1] || "/" : page;
}
