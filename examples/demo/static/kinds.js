// A row for each kind of beacon: its button, the code that it runs, and what became of it.

import {byId, flash, make} from './elements.js';
import {code, source} from './lines.js';
import {groups, samples} from './samples.js';
import {came} from './visit.js';

/** Why this browser cannot send a kind, or ''. */
export const reasons = new Map(samples.map(s => [s.kind, s.missing?.() ?? '']));

const under = new Map(); // kinds that were sent, and when
const states = new Map(samples.map(({kind}) => [kind, make('span', 'hint')]));

/** Notes that a kind is being sent. */
export function expect(kind) {
  under.set(kind, {at: Date.now(), n: 0});
  states.get(kind).textContent = 'sent …';
  delete states.get(kind).dataset.state;
}

came(e => {
  const sent = under.get(e.sample);
  if (!sent || e.time < sent.at - 50) return;
  sent.n++;
  const state = states.get(e.sample);
  const ms = Math.max(0, e.time - sent.at).toFixed(0);
  state.textContent = sent.n === 1 ? `✓ arrived after ${ms} ms` : `✓ ${sent.n} events after ${ms} ms`;
  state.dataset.state = 'same';
  flash(state);
});

function row({kind, label, detail, bad, send}, press) {
  const button = make('button', '', label);
  button.type = 'button';
  button.id = `send-${kind}`;
  const state = states.get(kind);
  state.id = `hint-${kind}`;
  state.textContent = detail;
  button.setAttribute('aria-describedby', state.id);
  if (reasons.get(kind)) {
    button.disabled = true;
    state.textContent = reasons.get(kind);
  }
  button.addEventListener('click', press);
  const li = make('li', '', button, state, code(make('pre'), 'js', source(send)));
  if (bad) li.append(make('p', 'note', bad));
  return li;
}

/** Fills the list; press is called with the sample whose button was pressed. */
export function kinds(press) {
  for (const [i, [title, names]] of groups.entries()) {
    const list = make('ul', 'kinds', ...names.map(name => {
      const sample = samples.find(s => s.kind === name);
      return row(sample, () => press(sample));
    }));
    const details = make('details', '', make('summary', '', title, ' ', make('span', 'hint', `${names.length} kinds`)), list);
    details.open = i === 0;
    byId('kinds').append(details);
  }
}
