// What the server tells is kept as it comes; what is on the page follows a few times a
// second, unless somebody wants it to stand still.
import { byId, count, many, now, put, serverSays } from "./text.js";
import * as sessions from "./sessions.js";
import * as session from "./session.js";
import * as lengths from "./lengths.js";
import * as server from "./server.js";
import { line, missed, tick as tickAges } from "./event.js";

const screen = 250; // ms between two renderings
const few = matchMedia("(min-width: 66rem)").matches ? 100 : 15; // events, unless somebody wants more
const list = byId("log");
const moreEvents = byId("more-events");
const only = byId("only");
const connection = byId("connection");

let run = "";
let last = ""; // position of the last event
let keep = 500; // events
let events = []; // oldest first; {n, …} or {n, missed}
let n = 0; // of the last one
let rendered = 0; // up to which they are in the list
let paused = false;
let waiting = []; // what is to be shown when it goes on
let most = few;
let linked = false; // whether the page was at the session of its address
let arrivals = []; // when events came and how many, of the last minute

const link = (e) => {
  const s = session.nearest(e);
  return s && sessions.link(s.id);
};

// The messages of the server. Those that only replace something are shown when the page
// is not paused, the last of them.
const receive = {
  hello(d) {
    serverSays(d.now);
    keep = d.events;
    sessions.setGap(d.gap);
    document.title = d.title;
    put(byId("title"), d.title);
    // Another run of the server counts from one again.
    if (run && run !== d.run) {
      events = [];
      rendered = n;
      list.replaceChildren();
      server.forgetRefused();
      waiting = waiting.filter(([g]) => g !== server.takeRefused);
      last = "";
    }
    run = d.run;
  },
  event(d, id) {
    last = id;
    arrivals.push([d.received, 1]);
    remember({ ...d, n: ++n });
  },
  missed(d) {
    if (n) arrivals.push([now(), d]);
    remember({ n: ++n, missed: d });
  },
  sessions(d) {
    sessions.take(d);
    if (!linked) setTimeout(() => session.route(events)); // the link that led here
    linked = true;
  },
  refused: (d) => later(server.takeRefused, d, true),
  totals: (d) => later(lengths.take, d),
  stats: (d) => later(server.takeStats, d),
  health: (d) => later(server.takeHealth, d),
};
function remember(e) {
  events.push(e);
  while (events.length > keep) events.shift();
}
function later(f, d, all) {
  if (!all) waiting = waiting.filter(([g]) => g !== f);
  waiting.push([f, d]);
  // Of refusals no more are shown either.
  if (waiting.length > 100) waiting.splice(waiting.findIndex(([g]) => g === server.takeRefused), 1);
}

let due;
const soon = () => (due ??= setTimeout(render, screen));

function render() {
  due = undefined;
  if (paused) {
    put(byId("pause"), `Go on (${count(n - rendered)} new)`);
    return;
  }
  for (const [f, d] of waiting.splice(0)) f(d);
  sessions.render();
  renderEvents();
  session.render(events);
  say();
}

function renderEvents() {
  const top = document.activeElement && list.contains(document.activeElement);
  for (const e of events) {
    if (e.n <= rendered) continue;
    rendered = e.n;
    const li = e.missed ? missed(e.missed) : line(e, link);
    if (!e.missed) li.classList.add("new");
    list.prepend(li);
  }
  while (list.children.length > keep && !(top && list.lastElementChild.contains(document.activeElement))) list.lastElementChild.remove();
  filter();
}

function filter() {
  const words = only.value.trim().toLowerCase();
  let fits = 0;
  for (const li of list.children) {
    const fit = !words || (li.words ?? "").includes(words);
    fits += fit;
    li.hidden = !fit || fits > most;
  }
  byId("no-events").hidden = fits > 0;
  put(byId("no-events"), words ? "None of the events that are kept here has that." : "No events yet.");
  moreEvents.hidden = fits <= few;
  put(moreEvents, most === few ? `Show all ${count(fits)}` : "Show fewer");
}

only.addEventListener("input", filter);
moreEvents.addEventListener("click", () => {
  most = most === few ? Infinity : few;
  filter();
});

byId("pause").addEventListener("click", (e) => {
  paused = !paused;
  e.currentTarget.setAttribute("aria-pressed", paused);
  put(e.currentTarget, paused ? "Go on" : "Pause");
  if (!paused) render();
});

// What a screen reader says is one short line now and then.
let said = 0;
let saidOf = 0;
function say() {
  const t = Date.now();
  if (t - said < 15e3 || n === saidOf) return;
  put(byId("said"), `${many(n - saidOf, "event")}, ${many(Number(byId("n-open").textContent), "open session")}.`);
  said = t;
  saidOf = n;
}

setInterval(() => {
  const t = now();
  arrivals = arrivals.filter(([at]) => at > t - 60e3);
  if (paused || document.hidden) return;
  put(byId("n-rate"), count(arrivals.reduce((sum, [, k]) => sum + k, 0)));
  sessions.tick(t);
  tickAges(document);
  session.render(events);
}, 1000);

// The connection. While nobody sees the page it is let go after a while: it is one of few
// that a browser has for a server, and one of few that the server has.
let source;
let down;

function state(s) {
  connection.dataset.state = s;
  put(connection, s);
}

function connect() {
  disconnect();
  source = new EventSource(last ? `stream?after=${encodeURIComponent(last)}` : "stream");
  source.onopen = () => {
    clearTimeout(down);
    down = undefined;
    state("live");
  };
  source.onerror = () => {
    // Where streams cannot last the next one begins at once.
    down ??= setTimeout(() => state("not connected"), 4000);
    if (source.readyState === EventSource.CLOSED) retry ??= setTimeout(connect, 5000); // it was refused
  };
  for (const [type, f] of Object.entries(receive)) {
    source.addEventListener(type, (e) => {
      f(JSON.parse(e.data), e.lastEventId);
      soon();
    });
  }
}

let retry;
function disconnect() {
  clearTimeout(retry);
  retry = undefined;
  source?.close();
  source = undefined;
}

let leaving;
document.addEventListener("visibilitychange", () => {
  clearTimeout(leaving);
  if (document.hidden) {
    leaving = setTimeout(() => {
      disconnect();
      state("waiting to be seen");
    }, 60e3);
  } else if (!source) {
    connect();
  }
});
addEventListener("pagehide", disconnect);
addEventListener("pageshow", (e) => e.persisted && connect());
addEventListener("hashchange", () => session.route(events));

connect();
sessions.render();
