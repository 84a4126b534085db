// What came last, always in view: beside the live page, and where there is no room for both, a
// line at the bottom that leads to it.

import {report} from './byhand.js';
import {byId, flash, say} from './elements.js';
import {code, lines, source, tag} from './lines.js';
import {samples} from './samples.js';
import {came, heard} from './visit.js';

const names = {empty: 'No data', text: 'Text', json: 'JSON', form: 'Form', binary: 'Binary', ping: 'Ping', report: 'Report'};
let last;

came(e => {
  last = e;
  const sample = samples.find(s => s.kind === e.sample);
  const clock = new Date(e.time).toLocaleTimeString('en-GB');
  line(`${clock} ${names[e.kind] ?? e.kind}${e.name ? ` “${e.name}”` : sample ? `, ${sample.label}` : ''}`);
  say('latest-said', e.said.join(' · '));
  const js = byId('latest-js');
  if (sample) code(js, 'js', source(sample.send));
  else if (e.name === 'log') code(js, 'js', source(lines.log));
  else if (e.name === 'session') code(js, 'html', tag());
  else if (e.kind === 'form') code(js, 'js', source(report));
  else code(js, 'js', '// not from a button of this page');
  code(byId('latest-go'), 'go', `// ${e.code.at}\n${e.code.text}`);
  flash(byId('latest'));
});

const line = text => say('latest-line', text);

let down = false;
heard(server => {
  if (down === !!server.down) return;
  down = !!server.down;
  byId('latest').dataset.state = down ? 'down' : '';
  if (down) line('The server does not answer. What you log waits here');
  else line(last ? 'The server is back' : 'Nothing has come yet');
});

// The event itself, in the live page.
byId('latest-line').addEventListener('click', () => {
  const page = byId('live').contentDocument;
  const entry = page.querySelector('#log > li:not([hidden]) > details');
  if (!entry) return;
  entry.open = true;
  entry.scrollIntoView();
  const bar = page.querySelector('.top').offsetHeight;
  page.defaultView.scrollBy(0, Math.min(0, entry.getBoundingClientRect().top - bar - 8));
});
