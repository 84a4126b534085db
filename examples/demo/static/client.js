// The switches of the browser client, which its own script tag has started.

const byId = id => document.getElementById(id);

byId('log').addEventListener('click', () => globalThis.beacon?.log(byId('adhoc-message').value));

// Without consent it sends nothing, and forgets what it has kept.
byId('consent').addEventListener('change', ({target}) => {
  globalThis.beacon?.consent(target.checked ? 'granted' : 'denied');
});

// The endpoint hangs up on every request, which is what being offline looks like
// from here; the events are those that a browser fires when it notices.
byId('offline').addEventListener('change', async ({target}) => {
  await fetch('/api/offline', {method: 'POST', body: target.checked ? 'on' : 'off'});
  dispatchEvent(new Event(target.checked ? 'offline' : 'online'));
});

// A reload brings the boxes back as they were, and the server too.
addEventListener('pageshow', () => {
  byId('consent').checked = true;
  byId('offline').checked = false;
  fetch('/api/offline', {method: 'POST', body: 'off'}).catch(() => {});
});
