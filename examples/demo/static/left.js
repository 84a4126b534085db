// The goodbyes of the page that was left on the way here, as the server got them.

import {byId, make, say} from './elements.js';
import {code} from './lines.js';

const {agreed, session, after = 0, at = 0} = JSON.parse(sessionStorage['demo:left'] ?? '{}');
const seconds = ms => `${(ms / 1e3).toFixed(2)} s`;
let n = after;
let client = false;

function show(e) {
  const ms = e.time - at;
  const who = e.name === 'session' ? 'The goodbye of the browser client' : 'The goodbye by hand';
  const li = make('li', 'goodbye', make('h2', '', who), make('p', 'big', `${Math.max(0, ms).toFixed(0)} ms`),
    make('p', 'hint', 'after you left, it was on the server, as this:'));
  if (e.json) li.append(code(make('pre'), 'js', JSON.stringify(JSON.parse(e.json), null, 2)));
  li.append(make('p', 'hint', 'The Go that got it, and what it said:'), code(make('pre'), 'go', `// ${e.code.at}\n${e.code.text}`),
    ...e.said.map(text => make('p', 'said', text)));
  li.dataset.ms = ms;
  byId('goodbyes').append(li);
}

async function look(tries) {
  let answer;
  try {
    answer = await (await fetch(`/api/visit?session=${encodeURIComponent(session)}&after=${n}`, {cache: 'no-store'})).json();
    n = answer.n;
  } catch {
    answer = {came: []}; // it is asked again
  }
  for (const e of answer.came) {
    if (e.time < at - 50) continue;
    const mine = e.name === 'session' && e.session === session;
    if (!mine && (e.kind !== 'form' || e.sample)) continue;
    client ||= mine;
    show(e);
  }
  const s = answer.session;
  if (client && s) say('goodbye', `Your visit: elapsed ${seconds(s.elapsed)}, engaged ${seconds(s.engaged)}, ${s.views} page ${s.views === 1 ? 'view' : 'views'}.`);
  else if (tries === 0) say('goodbye', 'No goodbye of the client has come. If it is lost, the next page sends it again.');
  // One by hand may follow.
  if (tries > 0 && (!client || tries > 20)) setTimeout(look, 100, tries - 1);
}

if (!at) say('goodbye', 'You did not come from the demo.');
else if (!agreed) say('goodbye', 'The page said nothing: you had not agreed.');
else look(50);
