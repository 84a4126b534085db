// Runs the client's files as often as wanted and parses them once: every tab of a
// test has variables of its own, and takes nothing from node that its window lacks.
// Modules imported again and again under other names would never be collected.
import { readFileSync } from "node:fs";
import { compileFunction } from "node:vm";

const root = new URL("../", import.meta.url);
const names = (list) =>
  list.replace(/\/\/.*|[{}]/g, "").split(",").map((part) => part.trim()).filter(Boolean).map((part) => {
    const [from, to = from] = part.split(/\s+as\s+|\s*:\s*/).map((name) => name.replace(/\s*=.*/s, "").trim());
    return [from, to];
  });
// What is taken out leaves its line ends, so that the lines of errors are right.
const lines = (text) => text.replace(/[^\n]/g, "");

const parsed = new Map();

function parse(url) {
  if (parsed.has(url)) return parsed.get(url);
  const imports = []; // [file, [[name there, name here]]]
  const exported = []; // [name here, name for others]
  const again = []; // [file, name there, name for others]
  const source = readFileSync(new URL(url), "utf8");
  const text = source
    .replace(/\/\*\*[^]*?\*\//g, lines)
    .replace(/^import\s*(\{[^}]*\})\s*from\s*"([^"]+)";?/gm, (all, list, from) => {
      imports.push([new URL(from, url).href, names(list)]);
      return lines(all);
    })
    .replace(/^import\s*"([^"]+)";?/gm, (all, from) => (imports.push([new URL(from, url).href, []]), ""))
    .replace(/(?<=^|;)export\s*(\{[^}]*\})(?:\s*from\s*"([^"]+)")?;?/gm, (all, list, from) => {
      if (from) {
        const file = new URL(from, url).href;
        imports.push([file, []]);
        for (const [a, b] of names(list)) again.push([file, a, b]);
      } else exported.push(...names(list));
      return lines(all);
    })
    .replace(/^export\s+const\s*(\{[^]*?\})\s*=\s*\w+;/gm, (all, list) => {
      for (const [, name] of names(list)) exported.push([name, name]);
      return all.replace("export ", "");
    })
    .replace(/^export\s+default\s+/gm, () => (exported.push(["default_", "default"]), "const default_ = "))
    .replace(/^export\s+((?:const|let|class|(?:async\s+)?function\*?)\s+([\w$]+))/gm, (all, head, name) => (exported.push([name, name]), head))
    .replaceAll("import.meta", "importMeta")
    .replace(/(?<![.\w])import\(/g, "importModule(");
  if (/^(import|export)\b/m.test(text)) throw new Error(`${url}: an import or export that is not understood: ${/^(import|export)\b.*/m.exec(text)[0]}`);
  // "with" makes names of imports live, as they are in modules, and those of the
  // window global; what is inside is strict.
  const run = compileFunction(
    `with(scope){return(()=>{${/\bexport\b|^import\b/m.test(source) ? '"use strict";' : ""}define({${exported.map(([here, there]) => `${there}:()=>${here}`)}});${text}\n})()}`,
    ["scope", "define"],
    { filename: url },
  );
  const module = { imports, again, run };
  parsed.set(url, module);
  return module;
}

const lazily = (object, name, get) => Object.defineProperty(object, name, { get, enumerable: true, configurable: true });

/**
 * Runs a file, and what it imports, in a window.
 * @param {string} file below client/
 * @param {object} win
 * @param {{url?: string, load?: (url: string) => Promise<object>}} [o] the address that the file has, and what its import() does
 */
export function evaluate(file, win, { url, load = () => Promise.reject(new TypeError("nothing to import")) } = {}) {
  const done = new Map();
  const run = (href) => {
    if (done.has(href)) return done.get(href);
    const exports = {};
    done.set(href, exports);
    const { imports, again, run: body } = parse(href);
    const scope = Object.create(win);
    Object.assign(scope, { importMeta: { url: url || href }, importModule: load });
    for (const [from, list] of imports) {
      const other = run(from);
      for (const [there, here] of list) lazily(scope, here, () => other[there]);
    }
    for (const [from, there, here] of again) lazily(exports, here, () => done.get(from)[there]);
    body(scope, (list) => {
      for (const [name, get] of Object.entries(list)) lazily(exports, name, get);
    });
    return exports;
  };
  return run(new URL(file, root).href);
}
