// The second page.

import './visit.js';

const byId = id => document.getElementById(id);

// What a browser does to duplicate a tab: the same address, and what is stored.
byId('duplicate').addEventListener('click', () => window.opened = open(location.href));
byId('close').addEventListener('click', () => {
  close();
  // Browsers let a page close only what a page has opened.
  setTimeout(() => byId('close-status').textContent = 'This browser wants you to close it yourself.', 500);
});
