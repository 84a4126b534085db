// What the server has of the visit that ended on the way here.

const status = document.getElementById('goodbye');
const {session = '', at = 0} = JSON.parse(sessionStorage['demo:left'] ?? '{}');

async function look(tries) {
  const answer = await fetch(`/api/visit?session=${encodeURIComponent(session)}`, {cache: 'no-store'});
  const {session: s, until} = await answer.json();
  // The goodbye reaches up to when the page was left, or a moment more.
  if (s && until >= at - 50) {
    status.textContent = `The goodbye is there: elapsed ${(s.elapsed / 1e3).toFixed(2)} s, engaged ${(s.engaged / 1e3).toFixed(2)} s, ` +
      `${s.views} page ${s.views === 1 ? 'view' : 'views'}. The page had ended when it arrived.`;
  } else if (tries > 0) {
    setTimeout(look, 200, tries - 1);
  } else {
    status.textContent = 'No goodbye of the client has come. Its last report was less than a second before, or it does not come at all.';
  }
}

if (session) look(25);
else status.textContent = 'The client had nothing to say: it was not agreed that it sends.';
