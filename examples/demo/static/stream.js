// The worker that holds the page's connection to the server.

const source = new EventSource(`/events${location.search}`);
source.onopen = () => postMessage({type: 'state', data: 'live'});
source.onerror = () => postMessage({type: 'state', data: 'reconnecting'});
for (const type of ['hello', 'beacon', 'missed', 'stats']) {
  source.addEventListener(type, e => postMessage({type, data: e.data, id: e.lastEventId}));
}
