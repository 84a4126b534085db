// localStorage as pages of several processes see it.

/**
 * Makes a store. What a page writes reaches the others lag milliseconds later; data
 * is what there is on the disk, read the keys whose values were looked at.
 * @param {{quota?: number, broken?: boolean, lag?: number}} [o]
 */
export function fakeStorage(o = {}) {
  return { data: {}, quota: Infinity, broken: false, lag: 0, pages: [], read: new Set(), ...o };
}

const size = (data, except) => Object.entries(data).reduce((n, [k, v]) => n + (k === except ? 0 : k.length + v.length), 0);

/** The localStorage of a tab, which has its items as properties. */
export function localStorage(store, tab) {
  const page = { tab, data: store.lag ? { ...store.data } : store.data };
  store.pages.push(page);
  const check = () => {
    if (store.broken) throw new DOMException("denied", "SecurityError");
  };
  const put = (data, k, v) => {
    if (v === null) delete data[k];
    else data[k] = v;
  };
  const change = (k, v) => {
    const { data } = page;
    const oldValue = data[k] ?? null;
    if (oldValue === v) return true;
    put(data, k, v);
    // Of a window that closes itself WebKitGTK forgets all that it changes at its end.
    if (tab.deaf) return true;
    put(store.data, k, v);
    for (const other of store.pages) {
      if (other === page || !other.tab.alive) continue;
      // Its process hears of it even while the page stands still. In the end all have
      // what is on the disk, also where two wrote at once.
      if (store.lag) tab.world.after(store.lag, () => put(other.data, k, store.data[k] ?? null));
      tab.world.after(store.lag, () => {
        other.tab.win.emit("storage", { key: k, oldValue, newValue: v, storageArea: other.tab.win.localStorage, url: tab.doc.baseURI });
      }, other.tab);
    }
    return true;
  };
  const write = (k, v) => {
    check();
    if (size(page.data, k) + k.length + v.length > store.quota) throw new DOMException("full", "QuotaExceededError");
    return change(k, v);
  };
  const own = (k) => Object.hasOwn(page.data, k);
  const api = {
    getItem: (k) => (check(), store.read.add(`${k}`), own(`${k}`) ? page.data[k] : null),
    setItem: (k, v) => void write(`${k}`, `${v}`),
    removeItem: (k) => (check(), void change(`${k}`, null)),
    key: (i) => (check(), Object.keys(page.data)[i] ?? null),
    clear: () => (check(), Object.keys(page.data).forEach((k) => change(k, null))),
  };
  return new Proxy({}, {
    get: (_, k) => (k === "length" ? Object.keys(page.data).length : api[k] ?? (check(), store.read.add(k), own(k) ? page.data[k] : undefined)),
    set: (_, k, v) => write(k, `${v}`),
    has: (_, k) => k in api || own(k),
    deleteProperty: (_, k) => (check(), change(k, null)),
    ownKeys: () => (check(), Reflect.ownKeys(page.data)),
    getOwnPropertyDescriptor: (_, k) => (own(k) ? { value: page.data[k], writable: true, enumerable: true, configurable: true } : undefined),
  });
}
