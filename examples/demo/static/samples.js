// One sample of each kind of beacon.

const hello = {msg: 'hello', stars: 5, tags: ['a', 'ü', '✓']};
const note = 'as long as it likes '.repeat(20).trim();
const csv = 'name,stars\r\n"Zoë",5\r\n';
const fields = [
  ['plain', 'value'],
  ['plain', 'a second value of that name'],
  ['with "quotes"', '"quoted" & <b>not bold</b>'],
  ['with a\r\nline break', 'first line\r\nsecond line'],
  ['größe ✓', 'übergroß'],
  ['long', 'All work and no play makes a dull value. '.repeat(30).trim()],
];

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

/** Where a sample goes. The query tells them apart on the server. */
export const url = kind => `/log-tracking?kind=${kind}`;

/** Which are shown together. */
export const groups = [
  ['Text and JSON', ['none', 'string', 'json-text', 'json-blob', 'ndjson']],
  ['Forms', ['formdata', 'urlsearchparams']],
  ['Bytes', ['arraybuffer', 'blob', 'gzip']],
  ['Without sendBeacon', ['fetch', 'fetchlater', 'pixel', 'ping']],
  ['Reporting API', ['reports', 'report']],
];

/**
 * The samples: send hands one to the browser, and throws, rejects or returns false if that
 * fails. The page shows its text. missing, where there is one, says why this browser cannot
 * send it, or ''. bad says what of it is wrong on purpose.
 */
export const samples = [
  {
    kind: 'none',
    label: 'No data',
    detail: 'only an address',
    send: url => navigator.sendBeacon(url),
  },
  {
    kind: 'string',
    label: 'String',
    detail: 'text/plain',
    send: url => {
      const text = 'Grüße, 世界 👋\n' +
        'from a second line';
      return navigator.sendBeacon(url, text);
    },
  },
  {
    kind: 'json-text',
    label: 'JSON as text',
    detail: 'needs no preflight anywhere',
    send: url => {
      const json = JSON.stringify(hello);
      return navigator.sendBeacon(url, json);
    },
  },
  {
    kind: 'json-blob',
    label: 'JSON Blob',
    detail: 'application/json',
    send: url => {
      const start = Date.now() - 75_000;
      const data = {...hello, start};
      const json = JSON.stringify(data);
      const type = 'application/json';
      return navigator.sendBeacon(url,
        new Blob([json], {type}));
    },
  },
  {
    kind: 'ndjson',
    label: 'NDJSON Blob',
    detail: 'an event per line',
    bad: 'The last line is broken on purpose.',
    send: url => {
      const lines = '{"step":1}\n' +
        '{"step":2}\n' +
        'this line is not JSON\n';
      const type = 'application/x-ndjson';
      return navigator.sendBeacon(url,
        new Blob([lines], {type}));
    },
  },
  {
    kind: 'formdata',
    label: 'FormData',
    detail: 'a file, and names that need care',
    send: url => {
      const form = new FormData();
      for (const [name, value] of fields) {
        form.append(name, value);
      }
      form.append('file', new File([csv],
        'résumé "final".csv', {type: 'text/csv'}));
      form.append('empty file',
        new File([], 'empty.bin'));
      return navigator.sendBeacon(url, form);
    },
  },
  {
    kind: 'urlsearchparams',
    label: 'URLSearchParams',
    detail: 'as a form without files',
    send: url => {
      const form = new URLSearchParams([
        ['q', 'salt & pepper'],
        ['q', '100 %'],
        ['ä', 'é'],
      ]);
      return navigator.sendBeacon(url, form);
    },
  },
  {
    kind: 'arraybuffer',
    label: 'ArrayBuffer',
    detail: 'bytes without a type',
    send: url => {
      const bytes = [0, 1, 2, 127, 128, 254, 255];
      return navigator.sendBeacon(url,
        new Uint8Array(bytes).buffer);
    },
  },
  {
    kind: 'blob',
    label: 'Typed Blob',
    detail: 'application/octet-stream',
    send: url => {
      const bytes = new Uint8Array(96).map((_, i) => i * 7);
      const type = 'application/octet-stream';
      return navigator.sendBeacon(url,
        new Blob([bytes], {type}));
    },
  },
  {
    kind: 'gzip',
    label: 'gzip',
    detail: 'compressed JSON in an untyped Blob',
    missing: () => typeof CompressionStream === 'function' ? '' : 'This browser has no CompressionStream.',
    send: async url => {
      const json = JSON.stringify({...hello, note});
      return navigator.sendBeacon(url,
        new Blob([await gzip(json)]));
    },
  },
  {
    kind: 'fetch',
    label: 'fetch',
    detail: 'keepalive tells what became of it',
    send: async url => {
      const type = 'application/json';
      const answer = await fetch(url, {
        method: 'POST',
        headers: {'Content-Type': type},
        body: JSON.stringify(hello),
        keepalive: true,
      });
      return answer.ok;
    },
  },
  {
    kind: 'fetchlater',
    label: 'fetchLater',
    detail: 'in a second, or when the page goes',
    missing: fetchLaterMissing,
    send: url => {
      fetchLater(url, {
        method: 'POST',
        body: 'Later is now.',
        activateAfter: 1000,
      });
    },
  },
  {
    kind: 'pixel',
    label: 'Pixel',
    detail: 'an image with a query',
    send: url => {
      const end = Date.now();
      const image = new Image();
      image.src = `${url}&msg=pixel` +
        `&start=${end - 1234}&end=${end}`;
      return image.decode();
    },
  },
  {
    kind: 'ping',
    label: 'Ping',
    detail: 'a link; off by default in Firefox',
    send: url => {
      const link = document.createElement('a');
      link.href = '#pinged'; // the page stays
      link.ping = url;
      link.click();
    },
  },
  {
    kind: 'reports',
    label: 'Reports',
    detail: 'a batch',
    bad: 'The second item is none on purpose.',
    send: url => {
      const report = {age: 1500, url: location.href};
      const batch = [
        {...report, type: 'deprecation', body: {}},
        'not a report',
        {...report, type: 'crash', age: 90_000},
      ];
      const type = 'application/reports+json';
      return navigator.sendBeacon(url,
        new Blob([JSON.stringify(batch)], {type}));
    },
  },
  {
    kind: 'report',
    label: 'Report',
    detail: 'breaks a policy that only reports',
    send: () => {
      const probe = document.createElement('span');
      probe.hidden = true;
      document.body.append(probe);
      probe.setAttribute('style',
        `--probe: ${Date.now()}`);
      probe.remove();
    },
  },
];
