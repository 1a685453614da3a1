// The console begins here: who is asking, the frame, and which page is shown.
import { fill, h, hear, said } from './dom.js';
import { restoreDraft } from './draft.js';
import { drawBar } from './draft-bar.js';
import { begin, me, showWho, signIn } from './session.js';
import { listen } from './live.js';
import { failure } from './parts.js';
import { pages } from './pages.js';
import { place } from './route.js';
import { helpButton, shortcuts } from './keys.js';
import { follow, load } from './store.js';

const main = document.querySelector('#main');
let leave = new AbortController();

async function show() {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const { page, rest, parameters } = place();
  const [path, name, , load] = pages().find(([it]) => it === page) ?? [null, 'Nothing here'];
  for (const link of document.querySelectorAll('nav a')) {
    if (link.hash === `#/${path}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  document.title = `${name} · ${me.catalog} · Brune`;
  const body = h('div', { class: `page ${path ?? ''}` });
  try {
    if (!load) throw Object.assign(new Error('there is no such page'), { title: 'Nothing here', status: 404 });
    const module = await load();
    await module.show(body, { ...parameters, rest }, signal);
  } catch (problem) {
    if (problem.name === 'AbortError') return;
    console.info(problem);
    fill(body, h('h1', null, name), failure(problem, show));
  }
  if (signal.aborted) return;
  fill(main, body);
  if (started) main.focus({ preventScroll: true });
  started = true;
  scrollTo(0, 0);
}
let started = false;

function frame() {
  const links = pages().map(([path, name]) => h('li', null, h('a', { href: `#/${path}` }, name)));
  fill(document.querySelector('nav'), h('ul', null, links));
  fill(document.querySelector('.catalog'), said(me.catalog));
  document.querySelector('.top').hidden = false;
  showWho(document.querySelector('.me'));
  fill(document.querySelector('.help'), helpButton());
}

async function start() {
  // What the first page needs is asked for at once; whether anybody is signed in shows meanwhile.
  if (!location.hash.startsWith('#token=')) load(false).catch(() => null);
  let problem = null;
  let known = await begin().catch((it) => { problem = it; return false; });
  while (!known) {
    await signIn(main, problem);
    known = true;
  }
  if (location.hash === '') history.replaceState(null, '', '#/settings');
  frame();
  hear('signed-in', frame);
  restoreDraft();
  drawBar(document.querySelector('.bar'));
  shortcuts();
  follow();
  // Its fragment would be taken for a page.
  document.querySelector('.skip').addEventListener('click', (event) => {
    event.preventDefault();
    main.focus();
  });
  addEventListener('hashchange', show);
  await show();
  listen(document.querySelector('.live'));
}

start();
