export const byId = id => document.getElementById(id);

/** Sets the text of an element, if it is another. */
export const say = (id, text) => byId(id).textContent === text || (byId(id).textContent = text);

/** Makes an element. */
export function make(name, className, ...children) {
  const e = document.createElement(name);
  if (className) e.className = className;
  e.append(...children);
  return e;
}

/** Has an element flash, where motion is welcome. */
export function flash(e) {
  e.classList.remove('new');
  requestAnimationFrame(() => e.classList.add('new'));
}
