// A session by hand, as a page without the client would do it: when the visitor came, what
// they did, and when they went.

const endpoint = '/log-tracking';
const most = 20; // activities that one beacon tells of

let start = Date.now();
let activities = [];
let told = false; // that the page is hidden, since it last was visible
let leaving = false;
let wanted = () => false;

/** Notes something the visitor did, for the next beacon. */
export function note(activity) {
  activities.push(activity);
  if (activities.length > most) activities.shift();
}

/** Has the goodbye of the page said if, by then, wish returns true. */
export function goodbyeIf(wish) {
  wanted = wish;
}

/** Sends the session so far, with what was done since the last time. */
export function report(message) {
  const data = new FormData();
  data.append('start', start);
  data.append('end', Date.now());
  data.append('msg',
    [...activities, message].join('; '));
  activities = [];
  if (!navigator.sendBeacon(endpoint, data)) {
    // too much is on its way already
    fetch(endpoint, {method: 'POST', body: data,
      keepalive: true}).catch(() => {});
  }
}

/** How long the session has lasted, in milliseconds. */
export function elapsed() {
  return Date.now() - start;
}

function goodbye() {
  if (!wanted() || told && activities.length === 0) return;
  report(leaving ? 'page left' : 'page hidden');
  told = true;
}

// The last moment a page can count on is when it becomes hidden: on phones, pages
// that are swiped away hear of nothing else.
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'hidden') goodbye();
  else told = false;
});

// A visible page that is left gets pagehide first and visibilitychange next.
// Firefox loses some of what is sent in pagehide and none of what is sent in
// visibilitychange, so that is worth waiting for. A hidden page gets no other
// event: this is the last call for what came up since it was hidden.
addEventListener('pagehide', () => {
  leaving = true;
  if (document.visibilityState === 'hidden') goodbye();
});

addEventListener('pageshow', event => {
  leaving = false;
  told = false;
  if (event.persisted) {
    // Out of the back/forward cache: the same page, but another visit.
    start = Date.now();
    activities = ['came back'];
  }
});
