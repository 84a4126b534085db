// What a slip in plain JavaScript costs most: names that do not exist, and code
// that strict policies forbid.
const browser = Object.fromEntries([
  "AbortController", "Blob", "Event", "FormData", "TextEncoder", "URL", "URLSearchParams", "addEventListener",
  "clearTimeout", "crypto", "document", "fetch", "globalThis", "localStorage", "location", "navigator",
  "performance", "queueMicrotask", "self", "setTimeout", "window",
].map((name) => [name, "readonly"]));

export default [
  {
    files: ["beacon.js", "src/**/*.js"],
    languageOptions: {ecmaVersion: 2022, sourceType: "module", globals: browser},
    rules: {
      "no-undef": "error",
      "no-unused-vars": "error",
      "no-var": "error",
      "prefer-const": "error",
      eqeqeq: ["error", "always", {null: "ignore"}],
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-shadow-restricted-names": "error",
      "no-unreachable": "error",
      "no-dupe-keys": "error",
      "no-self-assign": "error",
      "use-isnan": "error",
      "valid-typeof": "error",
    },
  },
];
