// Entry point of the console: signs in, draws the frame, and shows the page of the current URL.
import { emit, h, isolate, setChildren, subscribe } from './dom.js';
import { showDraftBar } from './draft-bar.js';
import { restoreDraft } from './draft.js';
import { enableShortcuts, helpButton } from './keys.js';
import { connectLiveUpdates } from './live.js';
import { pages } from './pages.js';
import { showNotice } from './notices.js';
import { errorAlert, leaveDialogs } from './parts.js';
import { currentRoute } from './route.js';
import { resumeSession, session, showAccount, showSignInPage, takeNotice } from './session.js';
import { followChanges, loadSettings } from './store.js';

const main = document.querySelector('#main');
let currentPage = new AbortController();
let isFirstPage = true;

/** Shows the page of the current URL. */
async function showPage() {
  currentPage.abort();
  currentPage = new AbortController();
  const { signal } = currentPage;
  const { page, rest, parameters } = currentRoute();
  const [path, name, , loadModule] = pages().find(([candidate]) => candidate === page) ?? [null, 'Page not found'];
  for (const link of document.querySelectorAll('nav a')) {
    if (link.hash === `#/${path}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  document.title = `${name} · ${session.catalog} · Brune`;
  const body = h('div', { class: `page ${path ?? ''}` });
  try {
    if (!loadModule) throw Object.assign(new Error('the address does not match any page'), { title: 'Page not found', status: 404 });
    const module = await loadModule();
    await module.show(body, { ...parameters, rest }, signal);
  } catch (problem) {
    // The user has left the page.
    if (problem.name === 'AbortError') return;
    // The alert shows the message, the console keeps the stack trace.
    console.info(problem);
    setChildren(body, h('div.stack', null, h('h1', null, name), failedPage(problem, path, name)));
  }
  // Another page was opened while the module was loading.
  if (signal.aborted) return;
  setChildren(main, body);
  // Focus stays at the top of the document on the first page, so that Tab reaches the skip link.
  if (!isFirstPage) main.focus({ preventScroll: true });
  isFirstPage = false;
  scrollTo(0, 0);
  showCurrentLink();
  // A page can move the focus or scroll only now that its elements are in the document.
  emit('page-shown');
}

/** Shows the page of a new URL, unless the user stays for the sake of an open dialog. */
async function handleHashChange({ oldURL, newURL }) {
  // A page that draws itself again has no URLs, and keeps its dialogs.
  if (oldURL === newURL || await leaveDialogs()) showPage();
  // The entry that the user has left stays behind the page.
  else history.pushState(null, '', oldURL);
}

/** Creates the content of a page that cannot be shown. */
function failedPage(problem, path, name) {
  if (problem.status !== 404) return errorAlert(problem, showPage);
  const [listPath, listName] = path ? [path, name] : pages()[0];
  return [errorAlert(problem), h('p', null, h('a', { href: `#/${listPath}` }, `Go to ${listName}`))];
}

/** Scrolls to the link of the current page, where the links do not fit on the screen. */
function showCurrentLink() {
  const nav = document.querySelector('header nav');
  const currentLink = nav.querySelector('[aria-current]');
  if (!currentLink || nav.scrollWidth <= nav.clientWidth) return;
  nav.scrollLeft += currentLink.getBoundingClientRect().left - nav.getBoundingClientRect().left - 24;
}

function drawFrame() {
  const links = pages().map(([path, name]) => h('li', null, h('a', { href: `#/${path}` }, name)));
  setChildren(document.querySelector('nav'), h('ul', null, links));
  setChildren(document.querySelector('.catalog'), isolate(session.catalog));
  document.querySelector('.top').hidden = false;
  showAccount(document.querySelector('.user'));
  setChildren(document.querySelector('.help'), helpButton());
}

async function start() {
  // Loading the settings in parallel with the session check saves one round trip. A 401 is handled by the check.
  if (!location.hash.startsWith('#token=')) loadSettings(false).catch(() => null);
  let problem = null;
  const isSignedIn = await resumeSession().catch((error) => {
    problem = error;
    return false;
  });
  if (!isSignedIn) await showSignInPage(main, problem);
  if (location.hash === '') history.replaceState(null, '', '#/settings');
  drawFrame();
  subscribe('signed-in', drawFrame);
  restoreDraft();
  showDraftBar(document.querySelector('.draft-bar'));
  const notice = takeNotice();
  if (notice) showNotice('session', { content: isolate(notice) });
  enableShortcuts();
  followChanges();
  // The fragment `#main` would be taken for a page.
  document.querySelector('.skip').addEventListener('click', (event) => {
    event.preventDefault();
    main.focus();
  });
  addEventListener('hashchange', handleHashChange);
  await showPage();
  connectLiveUpdates(document.querySelector('.live'));
  // The first page does not wait for the number of proposals and for the banners.
  const [{ followWaitingCount }, { showSafetyBanners }] = await Promise.all([import('./waiting-count.js'), import('./safety-banners.js')]);
  followWaitingCount();
  showSafetyBanners(document.querySelector('.banners'));
}

start();
