// The console begins here: who is asking, the frame, and which page is shown.
import { h, isolate, setChildren, subscribe } from './dom.js';
import { restoreDraft } from './draft.js';
import { showDraftBar } from './draft-bar.js';
import { resumeSession, session, showAccount, showSignInPage } from './session.js';
import { connectLiveUpdates } from './live.js';
import { errorAlert } from './parts.js';
import { pages } from './pages.js';
import { currentRoute } from './route.js';
import { enableShortcuts, helpButton } from './keys.js';
import { followChanges, loadSettings } from './store.js';

const main = document.querySelector('#main');
let leave = new AbortController();

async function show() {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const { page, rest, parameters } = currentRoute();
  const [path, name, , load] = pages().find(([it]) => it === page) ?? [null, 'Nothing here'];
  for (const link of document.querySelectorAll('nav a')) {
    if (link.hash === `#/${path}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  document.title = `${name} · ${session.catalog} · Brune`;
  const body = h('div', { class: `page ${path ?? ''}` });
  try {
    if (!load) throw Object.assign(new Error('there is no such page'), { title: 'Nothing here', status: 404 });
    const module = await load();
    await module.show(body, { ...parameters, rest }, signal);
  } catch (problem) {
    if (problem.name === 'AbortError') return;
    console.info(problem);
    setChildren(body, h('h1', null, name), errorAlert(problem, show));
  }
  if (signal.aborted) return;
  setChildren(main, body);
  if (started) main.focus({ preventScroll: true });
  started = true;
  scrollTo(0, 0);
}
let started = false;

function frame() {
  const links = pages().map(([path, name]) => h('li', null, h('a', { href: `#/${path}` }, name)));
  setChildren(document.querySelector('nav'), h('ul', null, links));
  setChildren(document.querySelector('.catalog'), isolate(session.catalog));
  document.querySelector('.top').hidden = false;
  showAccount(document.querySelector('.user'));
  setChildren(document.querySelector('.help'), helpButton());
}

async function start() {
  // What the first page needs is asked for at once; whether anybody is signed in shows meanwhile.
  if (!location.hash.startsWith('#token=')) loadSettings(false).catch(() => null);
  let problem = null;
  let known = await resumeSession().catch((it) => { problem = it; return false; });
  while (!known) {
    await showSignInPage(main, problem);
    known = true;
  }
  if (location.hash === '') history.replaceState(null, '', '#/settings');
  frame();
  subscribe('signed-in', frame);
  restoreDraft();
  showDraftBar(document.querySelector('.draft-bar'));
  enableShortcuts();
  followChanges();
  // Its fragment would be taken for a page.
  document.querySelector('.skip').addEventListener('click', (event) => {
    event.preventDefault();
    main.focus();
  });
  addEventListener('hashchange', show);
  await show();
  connectLiveUpdates(document.querySelector('.live'));
}

start();
