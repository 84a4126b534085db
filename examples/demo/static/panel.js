// The panel: every event as the server decoded it, newest first.
//
// Events hold what any client cares to send, so all of it goes into the page as
// text nodes.

const most = 200; // events shown; the server keeps as many
const short = 160; // characters shown of a value before the rest folds away

const list = document.getElementById('events');
const latest = document.getElementById('latest');
const connection = document.getElementById('connection');
const stats = document.getElementById('stats');

// element makes an element with a class and children, text or nodes.
function element(name, className, ...children) {
  const e = document.createElement(name);
  if (className) e.className = className;
  e.append(...children);
  return e;
}

// Characters that would not show, or that would change the order of others.
const unseen = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/gu;
const names = {'\r': '\\r', '\n': '\\n', '\t': '\\t'};

// visible returns nodes that show every character of text; line breaks also break
// the line where lines is true.
function visible(text, lines) {
  const nodes = [];
  let done = 0;
  for (const {0: c, index} of text.matchAll(unseen)) {
    nodes.push(text.slice(done, index));
    nodes.push(element('span', 'unseen', names[c] ?? `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`));
    if (lines && c === '\n') nodes.push(c);
    done = index + 1;
  }
  nodes.push(text.slice(done));
  return nodes.filter(n => n !== '');
}

// The JSON form has an object in place of a string that is not valid UTF-8.
function string(value) {
  if (value === undefined) return '';
  if (typeof value === 'string') return value;
  return new TextDecoder().decode(bytes(value.base64)); // U+FFFD for what is broken
}

function bytes(base64 = '') {
  return Uint8Array.from(atob(base64), c => c.charCodeAt(0));
}

const size = n => n === 1 ? '1 byte' : `${n.toLocaleString('en')} bytes`;

// value shows a text, and folds it if it is long.
function value(text) {
  if (text === '') return element('span', 'nothing', 'empty');
  if (text.length <= short) return element('span', 'value', ...visible(text, true));
  const fold = element('details', 'fold',
    element('summary', '', element('span', 'value', ...visible(text.slice(0, short)), '… '),
      element('span', 'more', `all ${text.length.toLocaleString('en')} characters`)));
  // A large body is laid out only if somebody wants to see it.
  fold.addEventListener('toggle', () => {
    const all = element('pre', '', ...visible(text, true));
    all.tabIndex = 0; // it scrolls, so it has to be within reach of a keyboard
    fold.append(all);
  }, {once: true});
  return fold;
}

// pretty indents JSON that does not fit a line.
function pretty(body) {
  if (body.raw !== undefined) return string(body.raw); // exactly as it came
  const text = JSON.stringify(body.json) ?? '';
  return text.length <= short / 2 ? text : JSON.stringify(body.json, null, 2);
}

function json(text) {
  if (text.length > 4 * short) return value(text);
  return element('pre', '', ...text.split('\n').flatMap((line, i) => [i ? '\n' : '', ...visible(line)]));
}

function dump(data) {
  if (data.length === 0) return element('span', 'nothing', 'empty');
  const text = new TextDecoder('utf-8').decode(data);
  if (!text.includes('\ufffd') && !/[\u0000-\u0008\u000e-\u001f]/.test(text)) return value(text);
  const hex = Array.from(data.subarray(0, 2048), b => b.toString(16).padStart(2, '0')).join(' ');
  return value(data.length > 2048 ? `${hex} … (the first 2,048 bytes)` : hex);
}

function rows(pairs, className = 'rows') {
  const dl = element('dl', className);
  for (const [name, node] of pairs) {
    if (node === undefined || node === '') continue;
    dl.append(element('div', '', element('dt', '', name === '' ? element('span', 'nothing', 'no name') : value(name)), element('dd', '', typeof node === 'string' ? value(node) : node)));
  }
  return dl;
}

function field({name, value: text, file}) {
  if (!file) return [string(name), value(string(text))];
  const data = bytes(file.data);
  const about = element('span', 'file', 'file “', ...visible(string(file.name)), `”, ${string(file.type) || 'no type'}, ${size(data.length)}`);
  return [string(name), element('div', '', about, data.length > 0 ? dump(data) : '')];
}

// content shows the body. Its kinds are those of the JSON form.
function content(body) {
  switch (body.kind) {
    case 'text':
      return value(string(body.text));
    case 'json':
      return json(pretty(body));
    case 'form':
      return body.fields?.length ? rows(body.fields.map(field)) : element('p', 'nothing', 'no fields');
    case 'binary': {
      const data = bytes(body.data);
      return element('div', '', element('span', 'file', size(data.length)), dump(data));
    }
    case 'ping':
      return rows([['from', string(body.from)], ['to', string(body.to)]]);
    case 'report':
      return element('div', 'parts', rows([['about', string(body.url)], ['age', `${(body.age_ns ?? 0) / 1e6} ms`]]), json(pretty(body)));
    default:
      return '';
  }
}

const kindNames = {
  empty: 'No data', text: 'Text', json: 'JSON', form: 'Form', binary: 'Binary', ping: 'Ping', report: 'Report',
};

const clock = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3,
});

function time(text) {
  const e = element('time', '', clock.format(new Date(text)));
  e.dateTime = text;
  e.title = text;
  return e;
}

function entry({event, session, problem}) {
  const {body, request = {}} = event;
  const head = element('div', 'head',
    element('span', 'kind', kindNames[body.kind] ?? body.kind),
    element('span', 'name', ...visible(string(event.name))),
    session ? element('span', 'session', `In session for ${session}`) : '',
    time(event.time));
  const notes = (event.errors ?? []).map(e => `${string(e.key)}: ${string(e.reason)}`);
  if (problem) notes.push(problem);

  const query = (event.query ?? []).map(f => element('span', 'pair', ...visible(`${string(f.name)}=`), value(string(f.value))));
  const all = [
    ['Type', string(request.content_type) || element('span', 'nothing', 'none')],
    ['Coding', string(request.encoding)],
    ['Query', query.length ? element('span', 'pairs', ...query) : ''],
  ];
  const more = [
    ['Request', `${string(request.method)} ${string(request.path)}`],
    ['Received', event.received],
    ['Page', string(event.page)],
    ['Origin', string(request.origin)],
    ['Fetch metadata', [request.fetch_site, request.fetch_mode, request.fetch_dest].map(string).filter(Boolean).join(', ')],
    ['Purpose', string(request.purpose)],
    ['User agent', string(request.user_agent)],
    ['Privacy', [event.gpc ? 'GPC' : '', event.dnt ? 'DNT' : ''].filter(Boolean).join(', ')],
    ['Session, view', [event.session, event.view].map(string).filter(Boolean).join(', ')],
    ['ID', string(event.id)],
  ];
  const e = element('li', 'event', head, element('div', 'body', content(body)),
    ...notes.map(n => element('p', 'problem', ...visible(n))),
    rows(all, 'meta'), element('details', 'about', element('summary', '', 'About the request'), rows(more)));
  e.dataset.kind = body.kind;
  e.dataset.id = string(event.id);
  return e;
}

function show(item) {
  list.prepend(entry(item));
  const shown = list.getElementsByClassName('event');
  while (shown.length > most) list.lastElementChild.remove();
  announce(item);
}

// What a screen reader says is one short line, and not for each of many at once.
let announcement;
function announce({event, session}) {
  clearTimeout(announcement);
  announcement = setTimeout(() => {
    const n = list.getElementsByClassName('event').length;
    latest.textContent = `${n === 1 ? '1 event' : `${n} events`}, the latest: ${kindNames[event.body.kind] ?? event.body.kind}` +
      (session ? `, in session for ${session}.` : '.');
  }, 200);
}

function showMissed(n) {
  list.prepend(element('li', 'missed', `${n === 1 ? '1 event is' : `${n} events are`} not shown here: too many came in the meantime.`));
}

const counters = [
  ['received', 'Requests'], ['delivered', 'Delivered'], ['events', 'Events'], ['dropped', 'Dropped'],
  ['preflights', 'Preflights'], ['failed', 'Failed'],
];

function showStats(s) {
  const refused = Object.entries(s.refused ?? {});
  const total = refused.reduce((sum, [, n]) => sum + n, 0);
  const all = [...counters.map(([key, label]) => [label, s[key]]), ['Refused', total]];
  stats.replaceChildren(...all.map(([label, n]) => element('div', n ? '' : 'zero', element('dt', '', label), element('dd', '', n.toLocaleString('en')))));
  if (total) {
    stats.append(element('div', 'why', element('dt', '', 'Why refused'),
      element('dd', '', refused.map(([reason, n]) => `${reason} ${n}`).join(', '))));
  }
}

let stream;
let run = '';
let last = '';

const receive = {
  state: s => { connection.textContent = connection.dataset.state = s; },
  hello: newRun => {
    // A server that was started anew counts from one again.
    if (run && run !== newRun) list.replaceChildren();
    run = newRun;
  },
  beacon: (data, id) => {
    last = id;
    show(JSON.parse(data));
  },
  missed: data => showMissed(Number(data)),
  stats: data => showStats(JSON.parse(data)),
};

// An open connection of the page itself keeps it out of Firefox's back/forward
// cache, and Firefox makes up its mind before pagehide. So the connection is that
// of a worker, which ends with the visit.
function connect() {
  stream?.terminate();
  stream = new Worker(`/stream.js?after=${encodeURIComponent(last)}`);
  stream.onmessage = ({data: {type, data, id}}) => receive[type](data, id);
}

addEventListener('pagehide', () => stream?.terminate());
addEventListener('pageshow', connect);
