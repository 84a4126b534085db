// The lines that the page's controls run, and that it shows beside them. What is shown is the
// text of the function itself, so it cannot be another.

/** What the controls of the browser client run. */
export const lines = {
  agree: () => beacon.consent('granted'),
  disagree: () => beacon.consent('denied'),
  log: message => beacon.log(message),
};

/** The text of a function, without what makes a function of it. */
export function source(f) {
  const text = f.toString().replace(/^(async )?(\([^()]*\)|\w+) => /, '');
  const all = text.startsWith('{\n') ? text.slice(2, text.lastIndexOf('\n')) : text;
  const [first, ...others] = all.split('\n');
  const indents = (text === all ? others : [first, ...others]).filter(line => line.trim()).map(line => line.search(/\S/));
  const cut = new RegExp(`^ {${Math.min(...indents, 40)}}`, 'gm');
  return all.replace(cut, '');
}

/** The tag of the browser client, as it is in this page. */
export const tag = () => document.querySelector('script[data-endpoint]').outerHTML.replaceAll(' data-', '\n  data-');

/** Shows code: js, go or html. */
export function code(element, language, text) {
  if (element.textContent === text) return element;
  element.className = `code ${language}`;
  element.textContent = text;
  // What scrolls has to be within reach of a keyboard.
  element.tabIndex = 0;
  element.setAttribute('role', 'group');
  element.setAttribute('aria-label', {js: 'JavaScript', go: 'Go', html: 'HTML'}[language]);
  return element;
}
