// Your visit: what the page's own stop watch says of it, and what the server counts.

import {lines} from './lines.js';

const watch = globalThis.stopWatch;

const byId = id => document.getElementById(id);
const agreement = 'demo:agreed';
// The client reports each half minute, and when the page is hidden. On the page where its
// numbers are compared nobody likes to wait that long.
const every = document.body.dataset.report === 'often' ? 5e3 : Infinity;

/** What the server said last. */
export let server = {};
const listeners = [];

/** Calls f with each answer of the server, and with what it said last when it is down. */
export const heard = f => listeners.push(f);

const arrived = [];
/** Calls f with each event that came since the page is there. */
export const came = f => arrived.push(f);
let after = ''; // which the page knows

const session = () => globalThis.beacon?.session ?? '';

/** Whether the visitor agreed, in this tab or another. */
export const agreed = () => localStorage[agreement] === 'yes';

// Nothing is kept, not even that somebody does not agree, before they were asked.
function consent(yes) {
  if (yes) localStorage[agreement] = 'yes';
  else delete localStorage[agreement];
  if (globalThis.beacon) yes ? lines.agree() : lines.disagree();
  follow();
}

function follow() {
  const box = byId('consent');
  if (box) box.checked = agreed();
  watch.remember(agreed());
  tell();
}

// tell has the client report now, which it does if there is a second more to report.
let told = 0;
function tell() {
  if (!agreed() || document.hidden || every === Infinity) return;
  told = Date.now();
  globalThis.beacon?.flush();
}

let asking;
/** Asks the server what it has. */
export async function ask() {
  if (asking) return;
  asking = true;
  try {
    const answer = await fetch(`/api/visit?session=${encodeURIComponent(session())}&after=${after}`, {cache: 'no-store'});
    server = await answer.json();
    after = server.n;
    for (const event of server.came) for (const f of arrived) f(event);
  } catch {
    server = {...server, down: true}; // it asks again
  } finally {
    asking = false;
  }
  for (const f of listeners) f(server);
  show();
}

let hurried = 0;
/** Asks often for a while: something is on its way. */
export function hurry() {
  if (hurried < Date.now()) setTimeout(again, 30);
  hurried = Date.now() + 3e3;
}

async function again() {
  await ask();
  if (Date.now() < hurried) setTimeout(again, 100);
}

const seconds = ms => {
  const s = ms / 1e3;
  return s < 60 ? `${s.toFixed(1)} s` : `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, '0')}`;
};

const put = (e, text) => e.textContent === text || (e.textContent = text);

// row shows one number thrice. They are compared as of when the client reported: the stop
// watch knows what it showed then.
function row(name, now, then, server, text, near) {
  const tr = byId(name);
  put(tr.cells[1], text(now));
  put(tr.cells[2], server === undefined ? '–' : text(server));
  const apart = server === undefined ? undefined : Math.abs(server - then);
  tr.cells[3].dataset.state = apart === undefined ? 'none' : apart <= near ? 'same' : 'apart';
  put(tr.cells[3], apart === undefined ? '–' : apart <= near ? `✓ ${near ? `${(apart / 1e3).toFixed(2)} s` : 'same'}` : near ? text(apart) : `${apart} to come`);
}

function show() {
  const key = session();
  const now = watch.at(key);
  const {session: s, until = 0} = server;
  const then = watch.at(key, until);
  row('elapsed', now.elapsed, then.elapsed, s?.elapsed, seconds, 500);
  row('engaged', now.engaged, then.engaged, s?.engaged, seconds, 500);
  row('page-views', now.views, then.views, s?.views, String, 0);
  const tabs = [`${now.visible + now.hidden} open`];
  if (now.hidden) tabs.push(`${now.hidden} of them hidden`);
  if (now.closed) tabs.push(`${now.closed} closed or left`);
  put(byId('tabs'), `Tabs: ${tabs.join(', ')}.`);
  put(byId('told'), !agreed() ? 'Not counted: you have not agreed.' :
    s ? `Counted, last ${seconds(Math.max(0, Date.now() - until))} ago, and compared with the stop watch of then.` :
    'Nothing has been reported yet.');
}

// The table is the same on all pages that have it.
for (const [id, label] of [['', ''], ['elapsed', 'Elapsed'], ['engaged', 'Engaged'], ['page-views', 'Views']]) {
  const tr = byId('visit-table').insertRow();
  tr.id = id || 'visit-head';
  for (const [i, text] of (id ? [label, '', '', ''] : ['', 'Stop watch', 'Server', 'Apart']).entries()) {
    const cell = document.createElement(i && id || !i && !id ? 'td' : 'th');
    if (cell.localName === 'th') cell.scope = id ? 'row' : 'col';
    cell.textContent = text;
    tr.append(cell);
  }
}

let asked = 0;
function tick() {
  watch.tick(session());
  const t = Date.now();
  if (document.hidden) return;
  if (t - told > every) tell();
  if (t - asked > 1e3) {
    asked = t;
    ask();
  }
  show();
}
setInterval(tick, 200);
tick();

// After a second there is something to report.
const soon = () => setTimeout(tell, 1200);
soon();
addEventListener('focus', soon);
addEventListener('blur', tell);
document.addEventListener('visibilitychange', soon);

// The client remembers a denial, and that somebody agreed is the page's to remember.
if (agreed() && globalThis.beacon) lines.agree();
follow();
byId('consent')?.addEventListener('change', e => consent(e.target.checked));
addEventListener('storage', e => {
  if (e.key !== agreement && e.key !== null) return;
  if (agreed() && globalThis.beacon) lines.agree(); // a denial the client hears of by itself
  follow();
});

// For the console, and for tests that drive a browser.
window.visit = {
  now: () => watch.at(session()),
  then: () => watch.at(session(), server.until ?? 0),
  server: () => server,
  session, tell, ask,
};
