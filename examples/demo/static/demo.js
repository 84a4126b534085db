// The page's buttons.

import {elapsed, note, report} from './session.js';
import {samples} from './samples.js';
import './panel.js';
import './client.js';

const byId = id => document.getElementById(id);
const status = byId('send-status');
const reasons = new Map(samples.map(s => [s.kind, s.missing?.() ?? '']));

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
  status.textContent = results.length === 1 && sent === 1 ?
    `${results[0].kind}: handed to the browser.` :
    [`${sent} of ${results.length} handed to the browser.`, ...failed].join(' ');
}

for (const {kind, label, detail} of samples) {
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
  const entry = document.createElement('li');
  entry.append(button, hint);
  byId('kinds').append(entry);
}

byId('send-all').addEventListener('click', async () => {
  note('clicked Send all');
  tell(await sendAll());
});

byId('send-adhoc').addEventListener('click', () => report(byId('adhoc-message').value));

byId('leave').addEventListener('click', () => {
  note('clicked Leave this page');
  location.href = '/left';
});

// Sections that come into view later than with the page itself are an activity.
const atFirst = new Set();
const inView = new IntersectionObserver(entries => {
  for (const {target, isIntersecting} of entries) {
    if (!atFirst.has(target)) {
      atFirst.add(target);
      if (!isIntersecting) continue;
    } else if (isIntersecting) {
      note(`scrolled to ${target.textContent}`);
    } else {
      continue;
    }
    inView.unobserve(target); // once is enough
  }
});
document.querySelectorAll('h2').forEach(h => inView.observe(h));

function tick() {
  const seconds = Math.floor(elapsed() / 1000);
  byId('session-time').textContent = seconds < 60 ?
    `${seconds} ${seconds === 1 ? 'second' : 'seconds'}` :
    `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
setInterval(tick, 1000);
addEventListener('pageshow', tick);
