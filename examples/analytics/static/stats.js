// Keeps the page up to date while somebody looks at it. Whose visit it is only the
// client knows.
const every = 3000;

async function refresh() {
  if (document.hidden) return;
  beacon.flush(); // this page's own time so far, which is reported every half minute otherwise
  const query = new URLSearchParams(location.search);
  query.set("session", beacon.session);
  const answer = await fetch("/stats/part?" + query);
  if (!answer.ok) return;
  const news = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of news.querySelectorAll("section[id]")) {
    const old = document.getElementById(part.id);
    // What somebody is about to use is left as it is.
    if (old && old.innerHTML !== part.innerHTML && !old.contains(document.activeElement)) old.replaceWith(part);
  }
}

async function keep() {
  // The tag may not be there yet, or be blocked; and a server may be away.
  if (globalThis.beacon?.flush) await refresh().catch(() => {});
  setTimeout(keep, every);
}

document.addEventListener("visibilitychange", () => refresh().catch(() => {}));
keep();
