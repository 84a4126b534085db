// The page's buttons.

import {elapsed, goodbyeIf, note, report} from './byhand.js';
import {byId, say} from './elements.js';
import {expect, kinds, reasons} from './kinds.js';
import './latest.js';
import {code, lines, source, tag} from './lines.js';
import {samples, url} from './samples.js';
import {agreed, came, heard, hurry, server} from './visit.js';

const frame = byId('live');
const notAgreed = 'Not sent: you have not agreed.';

// The code beside the buttons, as it runs.
for (const [name, language, text] of [
  ['consent', 'js', `${source(lines.agree)} // on\n${source(lines.disagree)}  // off`],
  ['tag', 'html', tag()],
  ['log', 'js', source(lines.log)],
  ['hand', 'js', source(report)],
]) code(document.querySelector(`[data-code=${name}]`), language, text);

/** Sends one sample; resolves to what became of it, and never rejects. */
async function send(kind) {
  const sample = samples.find(s => s.kind === kind);
  if (!sample) throw new TypeError(`no such kind: ${kind}`);
  const reason = reasons.get(kind);
  if (reason) return {kind, sent: false, reason};
  expect(kind);
  hurry();
  try {
    if (await sample.send(url(kind)) === false) throw new Error('it was not taken');
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
  // Of what this browser has not, the rows say so.
  const failed = results.filter(r => !r.sent && !reasons.get(r.kind)).map(r => `${r.kind} not sent: ${r.reason}.`);
  const sent = results.filter(r => r.sent).length;
  say('send-status', results.length === 1 && sent === 1 ?
    `${results[0].kind}: handed to the browser.` :
    [`${sent} of ${results.length} handed to the browser.`, ...failed].join(' '));
}

kinds(async ({kind, label}) => {
  note(`clicked ${label}`);
  tell([await send(kind)]);
});

byId('send-all').addEventListener('click', async () => {
  note('clicked Send all');
  tell(await sendAll());
});

// The browser client.

let logged = 0; // messages that are not known to be there yet
let had = 0; // what the server had of them before
let at = 0;
let cut = false;
let last = ''; // what became of the last ones

byId('log').addEventListener('click', () => {
  if (!agreed()) return say('log-status', notAgreed);
  if (!globalThis.beacon) return say('log-status', 'Not sent: the client did not load.');
  lines.log(byId('message').value);
  if (!logged++) at = Date.now();
  state();
  hurry();
});

function state() {
  if (!agreed()) return; // what was said of it last still holds
  if (!logged) return say('log-status', last || 'Nothing waits on this device.');
  say('log-status', `${logged} waiting on this device${server.down ? ': the server does not answer.' : cut ? ': the endpoint does not answer.' :
    ', up to 5 seconds, so that others can go along.'}`);
}

heard(({session, down}) => {
  const has = session?.logged ?? 0;
  if (logged && has >= had + logged) {
    last = `Sent: ${logged === 1 ? 'it' : `all ${logged}`} arrived ${((Date.now() - at) / 1e3).toFixed(1)} s after.`;
    logged = 0;
  }
  if (!logged && !down) had = has;
  state();
});

byId('consent').addEventListener('change', () => {
  logged = 0;
  last = '';
  say('log-status', agreed() ? 'Nothing waits on this device.' : 'Nothing is sent. The client has forgotten what it held.');
  hurry();
});

// The endpoint hangs up on every request, which is what being offline looks like
// from here; the events are those that a browser fires when it notices.
byId('offline').addEventListener('change', async ({target}) => {
  cut = target.checked;
  await fetch('/api/offline', {method: 'POST', body: cut ? 'on' : 'off'});
  dispatchEvent(new Event(cut ? 'offline' : 'online'));
  last = cut ? 'The endpoint hangs up on everybody. What you log waits.' : 'The endpoint answers again.';
  if (!agreed()) say('log-status', last);
  state();
  hurry();
});

// By hand.

let handed = 0; // when

goodbyeIf(() => agreed() && byId('goodbye').checked);
byId('send-adhoc').addEventListener('click', () => {
  if (!agreed()) return say('adhoc-status', notAgreed);
  handed = Date.now();
  report(byId('message').value);
  say('adhoc-status', 'Handed to the browser.');
  hurry();
});
came(e => {
  if (!handed || e.kind !== 'form' || e.sample || e.time < handed - 50) return;
  say('adhoc-status', `Sent: it arrived ${Math.max(0, e.time - handed).toFixed(0)} ms after. ${e.said[0]}.`);
  handed = 0;
});

const clock = () => {
  const s = Math.floor(elapsed() / 1e3);
  say('session-time', s < 60 ? `${s} ${s === 1 ? 'second' : 'seconds'}` : `${Math.floor(s / 60)} min ${s % 60} s`);
};
setInterval(clock, 1e3);

// The visit.

byId('second').addEventListener('click', () => open('/second'));

let leaving = false;
function remember() {
  sessionStorage['demo:left'] = JSON.stringify({agreed: agreed(), session: globalThis.beacon?.session, after: server.n, at: Date.now()});
}
byId('leave').addEventListener('click', () => {
  note('clicked Leave this page');
  leaving = true;
  remember();
  location.href = '/left';
});
// From here on nobody sees the page, which is when it says goodbye.
document.addEventListener('visibilitychange', () => leaving && remember());

byId('mine').addEventListener('click', () => {
  if (!server.session) return say('mine-status', agreed() ? 'It is not there yet.' : 'There is none: you have not agreed.');
  say('mine-status', '');
  frame.scrollIntoView();
  frame.contentWindow.location.hash = `session=${encodeURIComponent(server.session.id)}`;
});

// What is kept.

const many = (n, one) => `${n} ${n === 1 ? one : `${one}s`}`;
heard(({taken, refused, kept, keptBytes, dir}) => {
  if (dir === undefined) return; // the server never answered
  say('since', `${many(taken, 'event')} taken, ${many(refused, 'request')} refused`);
  say('kept', `${many(kept, 'event')}, ${keptBytes < 1e3 ? `${keptBytes} bytes` : `${(keptBytes / 1e3).toFixed(0)} kB`}: the last 200 of all runs, and of twins one`);
  say('dir', dir);
});

byId('forget').addEventListener('click', async () => {
  const answer = await fetch('/api/forget', {method: 'POST'});
  say('forget-status', answer.ok ? 'Forgotten: all that is kept.' : 'It did not work: see the log.');
  hurry();
});

// A reload brings the boxes back as they were, and the server too.
addEventListener('pageshow', () => {
  leaving = false;
  byId('consent').checked = agreed();
  byId('offline').checked = cut = false;
  byId('goodbye').checked = false;
  fetch('/api/offline', {method: 'POST', body: 'off'}).catch(() => {});
  clock();
  state();
  if (!agreed()) say('log-status', 'Nothing is sent: you have not agreed.');
});
