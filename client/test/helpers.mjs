// What tests of delivery have in common.

export const U = "https://example.com/_pb";

export const post = (beacon, data, options) => {
  const b = new beacon.PendingPostBeacon(U, options);
  b.setData(data);
  return b;
};

export const append = (beacon, data, options) => {
  const b = new beacon.AppendableBeacon(U, { key: "a", ...options });
  b.appendData(data);
  return b;
};

export const replace = (beacon, data, options) => {
  const b = new beacon.ReplaceableBeacon(U, { key: "r", ...options });
  b.replaceData(data);
  return b;
};

/** A tab with the store. */
export const visit = async (w, o, init) => {
  const tab = await w.open(o);
  tab.beacon.init({ gpc: "flag", ...init });
  return tab;
};

/** Opens and closes a tab after all that a next visit would send. */
export const later = async (w, o) => {
  const tab = await visit(w, o);
  await w.tick(200_000);
  await tab.leave();
  return tab;
};

/** The keys of records. */
export const records = (w) => Object.keys(w.storage.data).filter((k) => k.startsWith("bcn:q") && !taken.test(w.storage.data[k]));

/** What is left of a record that another page has taken over. */
const taken = /^\[\d+\]$/;

/** Records that have text in them. */
export const recorded = (w, text) => records(w).filter((k) => w.storage.data[k].includes(text));

/** How often a raw body or a path arrived. */
export const times = (w, what) => w.arrived.filter((r) => r.body === what || (r.method === "GET" && new URL(r.url).pathname === what)).length;

/** The n of the items of a key that arrived, each once. */
export const numbers = (w, key) => [...new Set(w.items.filter((i) => i.envelope.k === key).map((i) => i.n))].sort((a, b) => a - b);

export const error = (list) => ({ onerror: (e) => list.push(e.reason) });
