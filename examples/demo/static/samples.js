// One sample of each kind of beacon.

const url = kind => `/log-tracking?kind=${kind}`;
const hello = {msg: 'hello', stars: 5, tags: ['a', 'ü', '✓']};

function beacon(kind, ...data) {
  if (!navigator.sendBeacon(url(kind), ...data)) throw new Error('too much is on its way already');
}

async function gzip(text) {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream('gzip'));
  return new Response(stream).arrayBuffer();
}

// fetchLater may exist and still refuse this page, so it is tried with a request
// that is taken back at once.
function fetchLaterMissing() {
  if (typeof fetchLater !== 'function') return 'This browser does not have it.';
  const undo = new AbortController();
  try {
    fetchLater(url('fetchlater'), {method: 'POST', signal: undo.signal});
    return '';
  } catch (error) {
    return `This browser refuses it here: ${error.message}`;
  } finally {
    undo.abort();
  }
}

/** Which are shown together. */
export const groups = [
  ['sendBeacon of …', ['none', 'string', 'json-text', 'json-blob', 'formdata', 'urlsearchparams', 'arraybuffer', 'blob', 'gzip', 'ndjson']],
  ['Without sendBeacon', ['fetch', 'fetchlater', 'pixel', 'ping']],
  ['The Reporting API', ['reports', 'report']],
];

/**
 * The samples: send hands one to the browser, and throws or rejects if that fails;
 * missing, where there is one, says why this browser cannot send it, or ''.
 */
export const samples = [
  {
    kind: 'none',
    label: 'No data',
    detail: 'sendBeacon(url)',
    send: () => beacon('none'),
  },
  {
    kind: 'string',
    label: 'String',
    detail: 'sendBeacon(url, "…")',
    send: () => beacon('string', 'Grüße, 世界 👋\nfrom a second line'),
  },
  {
    kind: 'json-text',
    label: 'JSON as text',
    detail: 'needs no preflight anywhere',
    send: () => beacon('json-text', JSON.stringify(hello)),
  },
  {
    kind: 'json-blob',
    label: 'JSON Blob',
    detail: 'application/json',
    send: () => beacon('json-blob', new Blob([JSON.stringify({...hello, start: Date.now() - 75_000})], {type: 'application/json'})),
  },
  {
    kind: 'formdata',
    label: 'FormData',
    detail: 'a file, and names that need care',
    send: () => {
      const form = new FormData();
      form.append('plain', 'value');
      form.append('plain', 'a second value of that name');
      form.append('with "quotes"', '"quoted" & <b>not bold</b>');
      form.append('with a\r\nline break', 'first line\r\nsecond line');
      form.append('größe ✓', 'übergroß');
      form.append('long', 'All work and no play makes a dull value. '.repeat(30).trim());
      form.append('file', new File(['name,stars\r\n"Zoë",5\r\n'], 'résumé "final".csv', {type: 'text/csv'}));
      form.append('empty file', new File([], 'empty.bin'));
      beacon('formdata', form);
    },
  },
  {
    kind: 'urlsearchparams',
    label: 'URLSearchParams',
    detail: 'x-www-form-urlencoded',
    send: () => beacon('urlsearchparams', new URLSearchParams([['q', 'salt & pepper'], ['q', '100 %'], ['ä', 'é']])),
  },
  {
    kind: 'arraybuffer',
    label: 'ArrayBuffer',
    detail: 'bytes without a type',
    send: () => beacon('arraybuffer', new Uint8Array([0, 1, 2, 127, 128, 254, 255]).buffer),
  },
  {
    kind: 'blob',
    label: 'Typed Blob',
    detail: 'application/octet-stream',
    send: () => beacon('blob', new Blob([Uint8Array.from({length: 96}, (_, i) => i * 7)], {type: 'application/octet-stream'})),
  },
  {
    kind: 'gzip',
    label: 'gzip',
    detail: 'compressed JSON in an untyped Blob',
    missing: () => typeof CompressionStream === 'function' ? '' : 'This browser has no CompressionStream.',
    send: async () => beacon('gzip', new Blob([await gzip(JSON.stringify({...hello, note: 'as long as it likes '.repeat(20).trim()}))])),
  },
  {
    kind: 'ndjson',
    label: 'NDJSON Blob',
    detail: 'an event per line, the last one broken on purpose',
    send: () => beacon('ndjson', new Blob(['{"step":1}\n{"step":2}\nthis line is not JSON\n'], {type: 'application/x-ndjson'})),
  },
  {
    kind: 'fetch',
    label: 'fetch',
    detail: 'with keepalive, which tells what became of it',
    send: async () => {
      const answer = await fetch(url('fetch'), {
        method: 'POST',
        headers: {'Content-Type': 'application/json'},
        body: JSON.stringify(hello),
        keepalive: true,
      });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    },
  },
  {
    kind: 'fetchlater',
    label: 'fetchLater',
    detail: 'in a second, or when the page goes',
    missing: fetchLaterMissing,
    send: () => {
      fetchLater(url('fetchlater'), {method: 'POST', body: 'Later is now.', activateAfter: 1000});
    },
  },
  {
    kind: 'pixel',
    label: 'Pixel',
    detail: '<img> with a query',
    send: () => new Promise((resolve, reject) => {
      const image = new Image();
      image.onload = resolve;
      image.onerror = () => reject(new Error('the image did not load'));
      // The time makes each URL a new one, which no cache has.
      image.src = `${url('pixel')}&msg=pixel&start=${Date.now() - 1234}&end=${Date.now()}`;
    }),
  },
  {
    kind: 'ping',
    label: 'Ping',
    detail: '<a ping>; off by default in Firefox',
    send: () => {
      const link = document.createElement('a');
      link.href = '#pinged'; // leads nowhere, so that the page stays
      link.ping = url('ping');
      link.click();
    },
  },
  {
    kind: 'reports',
    label: 'Reports',
    detail: 'a batch, with one item that is none on purpose',
    send: () => beacon('reports', new Blob([JSON.stringify([
      {type: 'deprecation', age: 1500, url: location.href, user_agent: navigator.userAgent, body: {id: 'SyncXHR', message: 'Synchronous XMLHttpRequest is deprecated.'}},
      'not a report',
      {type: 'crash', age: 90_000, url: location.href, user_agent: navigator.userAgent, body: {reason: 'oom'}},
    ])], {type: 'application/reports+json'})),
  },
  {
    kind: 'report',
    label: 'Report',
    detail: 'breaks a policy that only reports',
    send: () => {
      const probe = document.createElement('span');
      probe.hidden = true;
      document.body.append(probe);
      probe.setAttribute('style', `--probe: ${Date.now()}`);
      probe.remove();
    },
  },
];
