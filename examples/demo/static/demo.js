// The page's buttons.

import {elapsed, goodbyeIf, note, report} from './byhand.js';
import {groups, samples} from './samples.js';
import {agreed, ask, heard, server} from './visit.js';

const byId = id => document.getElementById(id);
const reasons = new Map(samples.map(s => [s.kind, s.missing?.() ?? '']));
const frame = byId('live');
const say = (id, text) => byId(id).textContent = text;

/** Sends one sample; resolves to what became of it, and never rejects. */
async function send(kind) {
  const sample = samples.find(s => s.kind === kind);
  if (!sample) throw new TypeError(`no such kind: ${kind}`);
  const reason = reasons.get(kind);
  if (reason) return {kind, sent: false, reason};
  try {
    await sample.send();
    return {kind, sent: true, reason: ''};
  } catch (error) {
    return {kind, sent: false, reason: error.message};
  }
}

/** Sends all samples, one after another. */
async function sendAll() {
  const results = [];
  for (const {kind} of samples) results.push(await send(kind));
  return results;
}

// For the console, and for tests that drive a browser.
window.demo = {kinds: samples.map(s => s.kind), send, sendAll};

function tell(results) {
  const failed = results.filter(r => !r.sent).map(r => `${r.kind} not sent: ${r.reason}`);
  const sent = results.length - failed.length;
  say('send-status', results.length === 1 && sent === 1 ?
    `${results[0].kind}: handed to the browser.` :
    [`${sent} of ${results.length} handed to the browser.`, ...failed].join(' '));
  look();
}

function entry({kind, label, detail}) {
  const button = document.createElement('button');
  button.type = 'button';
  button.id = `send-${kind}`;
  button.textContent = label;
  const hint = document.createElement('span');
  hint.id = `hint-${kind}`;
  hint.className = 'hint';
  hint.textContent = detail;
  button.setAttribute('aria-describedby', hint.id);
  if (reasons.get(kind)) {
    button.disabled = true;
    hint.textContent += `. ${reasons.get(kind)}`;
  }
  button.addEventListener('click', async () => {
    note(`clicked ${label}`);
    tell([await send(kind)]);
  });
  const li = document.createElement('li');
  li.append(button, hint);
  return li;
}

for (const [title, kinds] of groups) {
  const heading = document.createElement('h3');
  heading.textContent = title;
  const list = document.createElement('ul');
  list.className = 'kinds';
  list.append(...kinds.map(k => entry(samples.find(s => s.kind === k))));
  byId('kinds').append(heading, list);
}

byId('send-all').addEventListener('click', async () => {
  note('clicked Send all');
  tell(await sendAll());
});

// The browser client.

let logged = 0; // messages that are not known to be there yet
let had = 0; // what the server had of them before
let at = 0;
let cut = false;

byId('log').addEventListener('click', () => {
  if (!agreed()) return say('log-status', 'Not logged: you have not agreed that the client sends.');
  globalThis.beacon?.log(byId('message').value);
  if (!logged++) at = Date.now();
  state();
});

function state() {
  const many = logged === 1 ? 'One message waits' : `${logged} messages wait`;
  if (logged) say('log-status', cut ? `${many} on this device: the endpoint does not answer.` : `${many} on this device, up to 5 seconds, so that others can go along.`);
}

heard(({session}) => {
  const has = session?.logged ?? 0;
  if (logged && has >= had + logged) {
    say('log-status', `${logged === 1 ? 'It' : 'All'} arrived, ${((Date.now() - at) / 1e3).toFixed(1)} s after.`);
    logged = 0;
  }
  if (!logged) had = has;
});

byId('consent').addEventListener('change', () => {
  logged = 0;
  say('log-status', agreed() ? '' : 'The client has forgotten what it held, and sends nothing.');
});

// The endpoint hangs up on every request, which is what being offline looks like
// from here; the events are those that a browser fires when it notices.
byId('offline').addEventListener('change', async ({target}) => {
  cut = target.checked;
  await fetch('/api/offline', {method: 'POST', body: cut ? 'on' : 'off'});
  dispatchEvent(new Event(cut ? 'offline' : 'online'));
  say('log-status', cut ? 'The endpoint hangs up. What you log waits.' : 'The endpoint answers again.');
  state();
});

// By hand.

goodbyeIf(() => byId('goodbye').checked);
byId('send-adhoc').addEventListener('click', () => {
  report(byId('message').value);
  say('adhoc-status', 'Handed to the browser.');
  look();
});
byId('leave').addEventListener('click', () => {
  note('clicked Leave this page');
  sessionStorage['demo:left'] = JSON.stringify(agreed() ? {session: globalThis.beacon?.session, at: Date.now()} : {});
  location.href = '/left';
});

const clock = () => {
  const s = Math.floor(elapsed() / 1e3);
  say('session-time', s < 60 ? `${s} ${s === 1 ? 'second' : 'seconds'}` : `${Math.floor(s / 60)} min ${s % 60} s`);
};
setInterval(clock, 1e3);

// The visit.

byId('second').addEventListener('click', () => open('/second'));

byId('mine').addEventListener('click', () => {
  if (!server.session) return;
  frame.scrollIntoView();
  frame.contentWindow.location.hash = `session=${encodeURIComponent(server.session.id)}`;
});

// What arrived: where there is no room for all of it beside the controls, a line says what
// came last, and leads there.

let latest;

// look has the page look at once, and the frame show the events.
function look() {
  setTimeout(ask, 150);
  const w = frame.contentWindow;
  const events = w.document.getElementById('events');
  if (events && w.innerWidth < 1120) w.scrollTo(0, events.getBoundingClientRect().top + w.scrollY - 56);
}

heard(({latest: l}) => {
  if (l.n === 0) return say('latest', 'Nothing has arrived yet.');
  say('latest', `${l.n} ${l.n === 1 ? 'event' : 'events'}, the last: ${l.name || l.kind}. Show it`);
  if (latest !== undefined && latest !== l.n) {
    byId('latest').classList.remove('new');
    requestAnimationFrame(() => byId('latest').classList.add('new'));
  }
  latest = l.n;
});
byId('latest').addEventListener('click', look);

byId('forget').addEventListener('click', async () => {
  const answer = await fetch('/api/forget', {method: 'POST'});
  say('forget-status', answer.ok ? 'Forgotten.' : 'It did not work: see the log.');
});

// A reload brings the boxes back as they were, and the server too.
addEventListener('pageshow', () => {
  byId('consent').checked = agreed();
  byId('offline').checked = cut = false;
  byId('goodbye').checked = false;
  fetch('/api/offline', {method: 'POST', body: 'off'}).catch(() => {});
  clock();
});
