// The histogram of how long sessions were.
import { byId, element, many, put, span } from "./text.js";

const names = (ms) => (ms < 60e3 ? `${ms / 1e3} s` : ms < 3600e3 ? `${ms / 60e3} min` : `${ms / 3600e3} h`);
const plot = byId("plot");

// where is the place of a length on the scale of the bins, in bins.
function where(ms, bins) {
  const i = bins.findIndex((b) => ms < b);
  if (i < 0) return bins.length + Math.min(0.95, Math.log(ms / bins.at(-1)) / Math.log(24));
  const low = i ? bins[i - 1] : bins[0] / 10;
  return ms <= low ? i : i + Math.log(ms / low) / Math.log(bins[i] / low);
}

function strip(className, d, bins) {
  const n = bins.length + 1;
  const line = element("span", "line");
  const a = where(d.median, bins) / n, b = where(d.p95, bins) / n;
  line.style.insetInlineStart = `${a * 100}%`;
  line.style.width = `${(b - a) * 100}%`;
  return element("div", `strip ${className}`, element("span", "name", className), line);
}

export function take({ sessions, bins, elapsed, engaged }) {
  put(byId("lengths-of"), many(sessions, "session"));
  for (const [name, d] of Object.entries({ elapsed, engaged })) {
    put(byId(`${name}-median`), sessions ? span(d.median) : "–");
    put(byId(`${name}-p95`), sessions ? span(d.p95) : "–");
  }
  put(byId("n-median"), sessions ? span(engaged.median) : "–");
  const top = Math.max(1, ...elapsed.counts, ...engaged.counts);
  const columns = element("div", "columns");
  for (let i = 0; i <= bins.length; i++) {
    const pair = element("div", "pair");
    for (const [name, d] of Object.entries({ elapsed, engaged })) {
      const bar = element("span", `bar ${name}`, d.counts[i] ? element("span", "n", `${d.counts[i]}`) : "");
      bar.style.height = `${(d.counts[i] / top) * 100}%`;
      pair.append(bar);
    }
    columns.append(element("div", "column", pair, element("span", "edge", i < bins.length ? names(bins[i]) : "")));
  }
  plot.replaceChildren(...(sessions ? [strip("elapsed", elapsed, bins), strip("engaged", engaged, bins)] : []), columns);
  const spread = (d) => d.counts.map((n, i) => (n ? `${n} ${i < bins.length ? `under ${names(bins[i])}` : `over ${names(bins.at(-1))}`}` : "")).filter(Boolean).join(", ");
  plot.setAttribute("aria-label", sessions
    ? `Elapsed: median ${span(elapsed.median)}, 95th percentile ${span(elapsed.p95)}; ${spread(elapsed)}. ` +
      `Engaged: median ${span(engaged.median)}, 95th percentile ${span(engaged.p95)}; ${spread(engaged)}.`
    : "No sessions yet");
}
