// A stop watch over all tabs of this visit, which knows nothing of the beacon client: it is
// there to be compared with what the server makes of the client's reports.
//
// Each document writes down for itself when it was visible, and when it had the focus of
// somebody who is there, in a record that all tabs can read. What a page shows out of the
// back/forward cache is another view of it.
//
// It is the first script of a page, and not a module: those begin when all of the page is
// there, and the visitor was there before.

globalThis.stopWatch = (() => {
  const prefix = 'demo:tab:';
  const awake = 5 * 60e3; // for how long somebody is there after the last sign of life
  const lost = 5e3; // after that long without a word, a visible tab has ended without one
  const slept = 90e3; // a timer that is so late was asleep, and so was whoever watched

  let mine; // the record of this document
  let since = 0; // up to when it is written
  let looks = 0; // since then: 0 hidden, 1 visible, 2 with the focus
  let input = 0;
  let keep = false; // whether it may be stored
  let saved = 0;
  let gone = false;

  const looking = () => document.hidden ? 0 : document.hasFocus() ? 2 : 1;

  function begin() {
    mine = {id: Math.random().toString(36).slice(2), session: '', state: '', start: 0, heard: 0, spans: []};
    looks = 0;
    gone = false;
    mark();
  }

  // mark writes down the time until now.
  function mark() {
    const t = Date.now();
    if (looks && t - since < slept) {
      const busy = looks === 2 ? Math.max(since, Math.min(t, input + awake)) : since;
      span(since, busy, 1);
      span(busy, t, 0);
    }
    since = t;
    looks = looking();
    if (looks && !mine.start) mine.start = input = t;
    mine.state = gone ? 'closed' : looks ? 'visible' : 'hidden';
    mine.heard = t;
  }

  function span(from, to, engaged) {
    if (to <= from) return;
    const last = mine.spans.at(-1);
    if (last?.[1] === from && last[2] === engaged) last[1] = to;
    else mine.spans.push([from, to, engaged]);
  }

  function save() {
    saved = Date.now();
    if (keep) localStorage[prefix + mine.id] = JSON.stringify(mine);
  }

  // change marks what is worth writing down at once.
  function change() {
    mark();
    save();
  }

  document.addEventListener('visibilitychange', change);
  addEventListener('focus', change);
  addEventListener('blur', change);
  addEventListener('pagehide', () => {
    gone = true; // and hidden next
    change();
  });
  addEventListener('pageshow', e => e.persisted && begin());
  for (const type of ['pointerdown', 'pointermove', 'keydown', 'scroll', 'touchstart']) {
    addEventListener(type, () => {
      if (Date.now() - input < 1e3) return;
      mark();
      input = since;
    }, {passive: true});
  }

  begin();

  /** Writes down the time until now, of which session it is. */
  function tick(session) {
    mark();
    mine.session = session;
    if (since - saved > 500) save();
  }

  /** Says whether records may be stored; without, this document is all there is. */
  function remember(yes) {
    if (keep === yes) return;
    keep = yes;
    if (yes) return save();
    for (const key of Object.keys(localStorage)) if (key.startsWith(prefix)) delete localStorage[key];
  }

  function records(session) {
    const all = [mine];
    if (!keep) return all;
    for (const [key, value] of Object.entries(localStorage)) {
      if (!key.startsWith(prefix) || key === prefix + mine.id) continue;
      const r = JSON.parse(value);
      if (r.session === session) all.push(r);
      else if (Date.now() - r.heard > 864e5) delete localStorage[key];
    }
    return all;
  }

  /** What it shows of a session at a time, now or before. */
  function at(session, time = Infinity) {
    let start = Infinity, end = 0, engaged = 0;
    const n = {views: 0, visible: 0, hidden: 0, closed: 0};
    for (const r of records(session)) {
      if (!r.start || r.start > time) continue;
      n.views++;
      n[r.state === 'visible' && Date.now() - r.heard > lost ? 'closed' : r.state]++;
      start = Math.min(start, r.start);
      for (const [from, to, here] of r.spans) {
        if (from >= time) continue;
        const until = Math.min(to, time);
        end = Math.max(end, until);
        if (here) engaged += until - from;
      }
    }
    const elapsed = Math.max(0, end - start);
    return {elapsed, engaged: Math.min(engaged, elapsed), ...n};
  }

  return {tick, remember, at};
})();
