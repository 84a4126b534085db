// docs/client.md names all there is, and nothing else. Names are read from the sources, so
// that what is added or removed there is missed here.
import assert from "node:assert/strict";
import { readFile, readdir, stat } from "node:fs/promises";
import { test } from "node:test";
import { World } from "./harness.mjs";

const read = (path) => readFile(new URL(path, import.meta.url), "utf8");
const page = await read("../../docs/client.md");

/** The matches of the pattern's first group, each once. */
const names = (text, pattern) => [...new Set([...text.matchAll(pattern)].map((m) => m[1]))];

/** @param {string[]} list @param {number} least as many are found, or they are looked for in the wrong way */
const has = (list, least, as = (name) => name) => {
  assert.ok(list.length >= least, `found only ${list}`);
  assert.deepEqual(list.filter((name) => !page.includes(as(name))), []);
};

/** The names in the first column of the table under the heading that has the head as its first row. */
const column = (head) => {
  const at = page.indexOf(`\n${head}`);
  assert.ok(at >= 0, head);
  const rows = page.slice(at + 1).split("\n\n")[0].split("\n").slice(2);
  return rows.flatMap((row) => names(row.split("|")[1], /`([^`]+)`/g));
};

/** @param {string[]} documented @param {string[]} real */
const same = (documented, real) => assert.deepEqual([...documented].sort(), [...new Set(real)].sort());

/** The text between the braces that follow start. */
const block = (text, start) => {
  const at = text.indexOf(start);
  assert.ok(at >= 0, start);
  let depth = 0;
  for (let i = text.indexOf("{", at); ; i++) {
    if (text[i] === "{") depth++;
    if (text[i] === "}" && !--depth) return text.slice(text.indexOf("{", at) + 1, i);
  }
};

test("every option of init, as an attribute of the tag", async () => {
  const options = names(block(await read("../beacon.d.ts"), "interface InitOptions"), /^ {2}(\w+)\?:/gm);
  has(options.filter((name) => name !== "onerror"), 7, (name) => `\`data-${name}\``);
  assert.ok(options.includes("onerror") && page.includes("`onerror`, an option of `init`"));
});

test("every attribute that the server and the automatic events know, and every field of the tag", async () => {
  const tag = await read("../tag.go");
  has(names(tag, /"(data-\w+)"/g), 10, (name) => `\`${name}\``);
  has(names(block(await read("../src/auto.classic.js"), "const kinds ="), /^ {2}(\w+):/gm), 5, (name) => `\`data-${name}\``);
  const elsewhere = ["Src", "Nonce", "Light", "Module", "Integrity"]; // in the package's documentation
  has(names(block(tag, "type Tag struct"), /^\t(\w+) +\S+$/gm).filter((name) => !elsewhere.includes(name)), 10);
});

test("every function and class, every option of a beacon, every reason", async () => {
  const types = await read("../beacon.d.ts");
  has(names(types, /^export function (\w+)/gm), 5, (name) => `\`${name}(`);
  has(names(types, /^export (?:abstract )?class (\w+)/gm), 5);
  const options = names(types, /^export interface (\w*BeaconOptions)\b/gm);
  assert.equal(options.length, 4);
  has(options.flatMap((name) => names(block(types, `interface ${name} `), /^ {2}(\w+)\?:/gm)), 8, (name) => `\`${name}\``);
  has(names(block(types, "interface Failure"), /"(\w+)"/g), 6, (name) => `\`${name}\``);
  const methods = ["PendingBeacon", "PendingGetBeacon", "PendingPostBeacon", "AppendableBeacon", "ReplaceableBeacon"].flatMap((name) =>
    names(block(types, `class ${name} `), /^ {2}(\w+)\(/gm).filter((m) => m !== "constructor"));
  has(methods, 6, (name) => `\`${name}(`);
});

test("every key of the store", async () => {
  const files = (await readdir(new URL("../src/", import.meta.url))).filter((f) => !f.startsWith("debug"));
  const text = (await Promise.all(files.map((f) => read(`../src/${f}`)))).join("\n");
  has(names(text, /["'`](bcn:\w+:?)/g), 3, (key) => `\`${key}`);
});

test("every file, every fault that can be told", async () => {
  has(names(await read("../client.go"), /= "(_pb\.[\w.]+)"/g), 8, (name) => `\`${name}\``);
  const faults = names(block(await read("../src/debug.text.js"), "export const faults ="), /^ {2}(\w+):/gm);
  const debug = await read("../src/debug.js");
  const told = faults.filter((name) => debug.includes(`"${name}"`));
  assert.ok(told.length >= 8);
  const words = page.slice(page.indexOf("`beacon [word]:`"), page.indexOf("## What arrives"));
  same(names(words, /^\| `(\w+)`/gm), told);
});

test("no attribute, option, function or reason that there is not", async () => {
  const types = await read("../beacon.d.ts");
  const options = (name) => names(block(types, `interface ${name} `), /^ {2}(\w+)\?:/gm);
  same(column("| attribute |"), options("InitOptions").filter((name) => name !== "onerror").map((name) => `data-${name}`));
  same(column("| option | of |"), names(types, /^export interface (\w*BeaconOptions)\b/gm).flatMap(options));
  same(column("| `reason` |"), names(block(types, "interface Failure"), /"(\w+)"/g));
  const functions = names(page.slice(page.indexOf("## The functions"), page.indexOf("## The classes")), /^\| `(\w+)\(/gm);
  same(functions, names(types, /^export function (\w+)/gm));
});

test("every property and method of a beacon, and none that there is not", async () => {
  const types = await read("../beacon.d.ts");
  const members = (name) => {
    const text = block(types, `class ${name} `);
    return [...names(text, /^ {2}(?:readonly )?(\w+):/gm), ...names(text, /^ {2}(\w+)\(/gm)].filter((m) => m !== "constructor");
  };
  const common = page.match(/^All have ([^]*?), as in the explainer/m)?.[1] ?? "";
  same(names(common, /`(\w+)(?:\(\))?`/g), members("PendingBeacon"));
  const classes = page.slice(page.indexOf("## The classes"), page.indexOf("All have `url`"));
  const rows = [...classes.matchAll(/^\| `(\w+)\(url, options\)` \|[^|]*\| `(\w+)\(/gm)];
  assert.deepEqual(rows.map((m) => [m[1], m[2]]), names(types, /^export class (\w+)/gm).map((name) => [name, members(name).find((m) => m !== "method")]));
  assert.ok(rows.length === 4);
  const session = names(block(types, "interface Beacon "), /^ {2}readonly (\w+): string/gm);
  assert.deepEqual(session, ["session"]);
  assert.ok(page.includes("| `beacon.session` |"));
});

test("every option of the automatic events, and none that there is not", async () => {
  const real = names(block(await read("../auto.d.ts"), "interface AutoOptions"), /^ {2}(\w+)\?:/gm);
  const text = page.slice(page.indexOf("`client.Tag{Auto: true}`"), page.indexOf("## The functions"));
  const attributes = names(text, /`data-((?!beacon)\w+)`/g);
  assert.deepEqual(real.filter((name) => !attributes.includes(name) && !["log", "url"].includes(name)), []);
  assert.deepEqual(attributes.filter((name) => !real.includes(name)), []);
  same(names(text.slice(text.indexOf("`auto(options)`")), /`(\w+)`/g), real);
  const told = names(await read("../src/auto.js"), /(?:return \[|tell\(name, form, \[)"(\w+)"/g);
  assert.ok(told.length >= 3, `${told}`);
  same(column("| `msg` |").filter((name) => name !== "data-beacon-event"), told);
});

test("every member of what the client reports, and none that there is not", async () => {
  const w = new World();
  const tab = await w.open({ referrer: "https://other.example/" });
  tab.beacon.init({ props: { build: 1 } });
  tab.beacon.view("named", { experiment: "B" });
  tab.beacon.log("said", { sku: "A-1" });
  await w.tick(6e3);
  await tab.leave();
  const rows = [...page.matchAll(/^\| ((?:`\w+`(?:, )?)+) \| `(session|log)` \|/gm)].flatMap((m) => names(m[1], /`(\w+)`/g).map((name) => `${m[2]}.${name}`));
  const known = new Set();
  for (const { e, d } of w.items) for (const name of Object.keys(d)) known.add(`${e}.${name}`);
  for (const name of ["session.build", "session.experiment", "log.build", "log.sku"]) assert.ok(known.delete(name), name); // the page's
  same(rows, [...known]);
});

test("sizes are those of the files", async () => {
  const size = async (name) => {
    const length = async (ending) => (await stat(new URL(`../dist/${name}${ending}`, import.meta.url))).size;
    return [await length(".gz"), await length(".br")];
  };
  /** "About" is within one in twenty. */
  const about = (said, is, what) => assert.ok(Math.abs(Number(said?.replace(",", "")) / is - 1) < 0.05, `${what}: ${said} for ${is}`);
  const readme = await read("../../README.md");
  const npm = await read("../README.md");
  const files = { "": "beacon.min.js", "light.": "beacon.light.min.js", "core.": "core.min.mjs", "auto.": "auto.min.js", "debug.": "debug.min.mjs" };
  for (const [kind, name] of Object.entries(files)) {
    const [gzip, brotli] = await size(name);
    const row = page.split("\n").find((line) => line.startsWith(`| \`_pb.${kind}`) && /\| [\d,]+ \|$/.test(line)) ?? "";
    const [, , , g, b] = row.split("|").map((cell) => cell.trim());
    about(g, gzip, `gzip of ${name}`);
    about(b, brotli, `brotli of ${name}`);
    const entry = `@pagebeacon/beacon${kind && "/"}${kind.replace(".", "")}`;
    about(npm.split("\n").find((line) => line.startsWith(`| \`${entry}\` `))?.match(/([\d,]+)(?: bytes)? \|$/)?.[1], gzip, `${entry} in the package's README`);
  }
  const said = readme.match(/about ([\d.]+) KB after gzip, ([\d.]+) without the store that outlives a page, ([\d.]+) the classes alone/) ?? [];
  for (const [i, name] of ["beacon.min.js", "beacon.light.min.js", "core.min.mjs"].entries()) about(`${1000 * said[i + 1]}`, (await size(name))[0], `${name} in the README`);
});

test("links lead to headings of the page", () => {
  const anchors = names(page, /^#+ (.+)$/gm).map((h) => h.toLowerCase().replace(/[^\w -]/g, "").replaceAll(" ", "-"));
  has(names(page, /\]\(#([^)]+)\)/g).filter((a) => anchors.includes(a)), 8);
  assert.deepEqual(names(page, /\]\(#([^)]+)\)/g).filter((a) => !anchors.includes(a)), []);
});

test("the examples work", async () => {
  const blocks = names(page, /```js \w+\.js\n([^]*?)```/g).map((b) => b.replace(/^import (.*) from "\/_pb.mjs";$/m, "const $1 = beacon;"));
  assert.equal(blocks.length, 2);
  const w = new World();
  const tab = await w.open();
  const editor = { state: { text: "half a sen" } };
  for (const block of blocks) new Function("beacon", "editor", block)(tab.beacon, editor);
  editor.onchange();
  await w.tick(1e3);
  await tab.hide();
  await tab.leave();
  const sent = (path) => w.requests.filter((r) => r.url.includes(path)).map((r) => r.body);
  assert.deepEqual(sent("/drafts"), ['{"text":"half a sen"}']);
  assert.ok(sent("https://bills.example/take?_id=").includes('{"tea":2}'));
  const items = w.items.map(({ e, d }) => ({ e, ...d }));
  const some = (o) => assert.ok(items.some((i) => Object.entries(o).every(([k, v]) => i[k] === v)), `${JSON.stringify(o)} in ${JSON.stringify(items)}`);
  some({ e: "log", msg: "added to cart", sku: "A-1" });
  some({ e: "click", button: "save" });
  some({ e: "scroll", scrolled: 0.8 });
});
