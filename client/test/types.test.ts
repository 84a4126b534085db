// Checked by tsc --strict --noEmit; not run.
import {
  AppendableBeacon, PendingBeacon, PendingGetBeacon, PendingPostBeacon, ReplaceableBeacon, beacon, consent, flush, init, install, log, view,
} from "../beacon.js";
import type { Failure, InitOptions } from "../beacon.js";

const get = new PendingGetBeacon("/x", { timeout: 1, backgroundTimeout: 2, idParam: "_b", credentials: "same-origin" });
get.setURL(new URL("https://example.com"));
const method: "GET" = get.method;
get.timeout = 5;
get.sendNow();
get.deactivate();
const base: PendingBeacon = get;
const pending: boolean = base.pending;
// @ts-expect-error read-only
get.url = "/y";
// @ts-expect-error read-only
get.pending = false;
// @ts-expect-error of POST beacons
get.setData("x");
// @ts-expect-error abstract
new PendingBeacon("/");
// @ts-expect-error needs an URL
new PendingGetBeacon();

const post = new PendingPostBeacon("/x", { sendEmpty: true });
for (const data of ["s", new ArrayBuffer(1), new Uint8Array(1), new Blob([]), new FormData(), new URLSearchParams(), null, undefined]) post.setData(data);
// @ts-expect-error streams cannot be held
post.setData(new ReadableStream());
// @ts-expect-error of GET beacons
post.setURL("/");

new AppendableBeacon("/", { key: "k", onHidden: "store", token: "v1.x.y" }).appendData({ any: "thing" }, "name");
new ReplaceableBeacon("/", { onerror: (f: Failure) => f.reason }).replaceData([1]);
// @ts-expect-error no such option
new AppendableBeacon("/", { idParam: "x" });

const options: InitOptions = {
  endpoint: "/_pb", token: "v1.x.y", consent: "required", gpc: "flag", origins: [], reliability: "atLeastOnce", page: "full", spa: "hash", props: { plan: "pro" }, debug: true,
  onerror: (f) => f.reason,
};
init(options);
init();
init({ page: (url) => url.slice(1), spa: true, origins: "https://a.example https://b.example", props: '{"a":1}', debug: () => {} });
init({ page: false });
// @ts-expect-error no such word
init({ page: "all" });
// @ts-expect-error no such word
init({ consent: "Required" });
// @ts-expect-error no such option
init({ colour: 1 });
log("x", { y: 1 });
view();
view("name", { a: 1 });
// @ts-expect-error the data come second
view({ a: 1 });
consent("granted");
// @ts-expect-error no such state
consent("maybe");
flush();
install();
beacon.log("x");
new beacon.PendingGetBeacon("/").sendNow();
const session: string = beacon.session;
// @ts-expect-error read-only
beacon.session = "x";
export { method, pending, session };
