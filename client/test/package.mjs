// Packs the npm package, installs the tarball as a page's developer would, and uses it:
// two bundlers, the type checker in both of its ways to resolve, node without a window.
//
//	node client/test/package.mjs
//
// It needs npm and a registry.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";

const client = fileURLToPath(new URL("..", import.meta.url));
const dir = mkdtempSync(join(tmpdir(), "beacon-package-"));
process.on("exit", () => rmSync(dir, { recursive: true, force: true }));

const run = (file, ...args) => execFileSync(file, args, { cwd: dir, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], timeout: 300_000 });
const tool = (name, ...args) => {
  try {
    return run(join(dir, "node_modules/.bin", name), ...args);
  } catch (error) {
    console.error(error.stdout);
    throw error;
  }
};
const write = (name, text) => writeFileSync(join(dir, name), text);
const step = (name) => console.log("--", name);

step("what is packed");
const [packed] = JSON.parse(execFileSync("npm", ["pack", "--json", "--silent", "--pack-destination", dir], { cwd: client, encoding: "utf8" }));
const files = packed.files.map((f) => f.path).sort();
const dist = ["auto", "beacon.light", "beacon"].flatMap((n) => [`dist/${n}.min.js`, `dist/${n}.min.mjs`]);
assert.deepEqual(files, [
  "LICENSE", "README.md", "auto.d.ts", "beacon.d.ts", "core.d.ts", "debug.d.ts", ...dist, "dist/core.min.mjs", "dist/debug.min.mjs",
  "global.d.ts", "light.d.ts", "package.json",
].sort());
console.log(`${packed.filename}: ${files.length} files, ${statSync(join(dir, packed.filename)).size} bytes`);

step("installed in a fresh directory");
write("package.json", JSON.stringify({ name: "page", private: true, type: "module" }));
run("npm", "install", "--no-fund", "--no-audit", "--silent", "./" + packed.filename, "esbuild@0.28", "rollup@4", "@rollup/plugin-node-resolve@16", "typescript@5.9", "publint@0.3", "@arethetypeswrong/cli@0.18");

step("what linters of packages say");
run("node", "--input-type=module", "-e", `
  import { publint } from "publint";
  const { messages } = await publint({ pkgDir: "node_modules/@pagebeacon/beacon", strict: true });
  if (messages.length) throw new Error(JSON.stringify(messages, null, 1));`);
tool("attw", packed.filename, "--profile", "esm-only", "--exclude-entrypoints", "./global", "./dist/*");

step("types, in both ways to resolve");
write("page.ts", `
import { PendingBeacon, PendingGetBeacon, init, log, view, consent, flush, install, beacon } from "@pagebeacon/beacon";
import type { BeaconOptions, Failure, InitOptions } from "@pagebeacon/beacon";
import * as light from "@pagebeacon/beacon/light";
import { ReplaceableBeacon } from "@pagebeacon/beacon/core";
import type { SeriesBeaconOptions } from "@pagebeacon/beacon/core";
import { auto, type AutoOptions } from "@pagebeacon/beacon/auto";
import debug from "@pagebeacon/beacon/debug";

const options: InitOptions = { endpoint: "/_pb", consent: "required", spa: true, debug, props: { release: "1" }, page: (url: string) => url, onerror: (f: Failure) => f.reason };
init(options);
log("message", { n: 1 });
view("name", { n: 1 });
consent("granted");
flush();
install();
const id: string = beacon.session;
const held: PendingBeacon = new PendingGetBeacon("/x", { timeout: 1 } satisfies BeaconOptions);
new ReplaceableBeacon("/x", { key: "k" } satisfies SeriesBeaconOptions).replaceData({ id, held: held.pending });
light.log("message");
const automatic: AutoOptions = { log, downloads: ["pdf"], internal: ["example.org"], url: (u) => u.host };
auto(automatic)();
// @ts-expect-error no such option
auto({ colours: true });
// @ts-expect-error the core has no session
import { init as none } from "@pagebeacon/beacon/core";
`);
write("global.ts", `
import type {} from "@pagebeacon/beacon/global";
beacon.log("of the classic script", { session: beacon.session });
window.beacon.flush();
new beacon.PendingPostBeacon("/x").setData("x");
// @ts-expect-error no such function
beacon.track("x");
`);
for (const [module, resolution] of [["nodenext", "nodenext"], ["esnext", "bundler"]]) {
  tool("tsc", "--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom", "--module", module, "--moduleResolution", resolution, "page.ts", "global.ts");
}

step("bundled, with what is not used left out");
const bundlers = {
  esbuild: (input, output) => tool("esbuild", input, "--bundle", "--minify", "--format=esm", "--log-level=error", "--outfile=" + output),
  rollup: (input, output) => tool("rollup", input, "--silent", "--failAfterWarnings", "--format", "es", "--plugin", "node-resolve", "--file", output),
};
const inputs = {
  "core.js": `import { PendingPostBeacon } from "@pagebeacon/beacon/core"; globalThis.held = new PendingPostBeacon("/x");`,
  "all.js": `import { init, log } from "@pagebeacon/beacon"; init({ endpoint: "https://example.com/_pb" }); log("from a bundle", { n: 1 });`,
  "light.js": `import { init, log } from "@pagebeacon/beacon/light"; init({ endpoint: "https://example.com/_pb" }); log("from a bundle", { n: 1 });`,
  "auto.js": `import { auto } from "@pagebeacon/beacon/auto"; auto();`,
  "unused.js": `import { init } from "@pagebeacon/beacon"; import { init as i } from "@pagebeacon/beacon/light"; import { auto } from "@pagebeacon/beacon/auto"; import debug from "@pagebeacon/beacon/debug"; import { PendingGetBeacon } from "@pagebeacon/beacon/core"; globalThis.nothing = 1;`,
  // What README.md has: TestFragments of internal/docs compares.
  "readme.js": `
import { init, log } from "@pagebeacon/beacon";

init({ endpoint: "/_pb", consent: "required", spa: true });
log("added to the cart", { sku: "A-1" });
import { consent } from "@pagebeacon/beacon"; globalThis.agree = () => consent("granted");`,
  "readme-debug.js": `
import { init } from "@pagebeacon/beacon";
import debug from "@pagebeacon/beacon/debug";

init({ endpoint: "/_pb", debug });`,
};
const built = {};
for (const [name, text] of Object.entries(inputs)) {
  write(name, text);
  for (const [bundler, bundle] of Object.entries(bundlers)) {
    const output = `out/${bundler}.${name}`;
    bundle(name, output);
    const js = (built[`${bundler}.${name}`] = readFileSync(join(dir, output), "utf8"));
    console.log(`${bundler} ${name}: ${js.length} bytes, ${gzipSync(js, { level: 9 }).length} compressed`);
    if (name === "unused.js") assert.ok(js.length < 60, js);
    const whole = /all|light|readme/.test(name);
    assert.equal(/localStorage/.test(js), whole, `${bundler} ${name}: what uses the storage`);
    assert.equal(/"l:"|`l:/.test(js), whole, `${bundler} ${name}: the session`);
    assert.equal(/fetchLater/.test(js), whole || name === "core.js", `${bundler} ${name}: the beacons`);
  }
}

step("on a server: imported without a window, and nothing is kept running");
for (const entry of ["", "/light", "/core", "/auto", "/debug"]) {
  run("node", "--input-type=module", "-e", `import "@pagebeacon/beacon${entry}"; const { log, view } = await import("@pagebeacon/beacon${entry}"); log?.("x"); view?.();`);
}

step("the bundles run");
/** Runs a bundle in a page, and returns what it sends until the page ends, and what it says. */
const visit = async (name, during) => {
  const sent = [], said = [];
  const doc = Object.assign(new EventTarget(), { visibilityState: "visible", baseURI: "https://example.com/", hasFocus: () => true });
  const note = (...args) => said.push(args.join(" "));
  const win = Object.assign(new EventTarget(), {
    document: doc, location: new URL("https://example.com/"), navigator: {}, performance, crypto, Date, setInterval: (f, ms) => setInterval(f, ms).unref(), setTimeout: (f, ms) => setTimeout(f, ms).unref(), clearTimeout,
    console: { info: note, warn: note, log: note, debug: note, error: note, groupCollapsed: note, groupEnd: note, table: note },
    isSecureContext: true, AbortController, Request, localStorage: {}, history: { pushState() {}, replaceState() {} },
    fetch: async (url, init) => (sent.push([url, init.body]), new Response(null, { status: 204 })),
  });
  globalThis.window = win;
  await import(pathToFileURL(join(dir, "out", name)));
  during?.();
  delete globalThis.window;
  await null;
  doc.visibilityState = "hidden";
  win.dispatchEvent(Object.assign(new Event("pagehide"), { persisted: false }));
  doc.dispatchEvent(new Event("visibilitychange"));
  assert.ok(sent.every(([url]) => url.startsWith("https://example.com/_pb")));
  return { bodies: sent.map(([, body]) => `${body}`), said };
};
for (const name of ["esbuild.all.js", "rollup.all.js", "esbuild.light.js"]) {
  const bodies = (await visit(name)).bodies.filter((body) => body.includes("from a bundle"));
  assert.ok(bodies.length >= 1, `${name}: nothing sent`);
  assert.equal(JSON.parse(bodies[0]).ev[0].d.msg, "from a bundle");
}
for (const bundler of ["esbuild", "rollup"]) {
  const { bodies } = await visit(bundler + ".readme.js", () => globalThis.agree());
  assert.ok(bodies.some((body) => body.includes(`"sku":"A-1"`)), `${bundler}: with consent nothing of the README's is sent: ${bodies}`);
  const { said } = await visit(bundler + ".readme-debug.js");
  assert.ok(said.some((text) => text.startsWith("beacon:")), `${bundler}: nothing is said: ${said}`);
}
console.log("ok");
