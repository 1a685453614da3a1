// The sign-in. A token is pasted, or arrives in the fragment of the link that the service prints. The service turns the
// token into a cookie that scripts cannot read; the token is stored nowhere else.
import { Problem, request, serviceUrl, setSessionHandlers, setSubject } from './api.js';
import { emit, h, isolate, setChildren, showToast } from './dom.js';
import { formatDateTime } from './format.js';
import { errorAlert, openDialog } from './parts.js';

/** The signed-in user and the catalog. `expiresAt` is in ms by the clock of this browser. */
export const session = { subject: null, catalog: '', hasSessions: false, expiresAt: 0 };

/** Returns the key of the draft of `subject` in the session storage: a draft belongs to the person who wrote it. */
export const draftKey = (subject = session.subject) => `brune.draft ${subject}`;

const NOTICE_KEY = 'brune.notice';

/** Returns the token in the URL, and removes the token from the URL and from the browser's history. */
function takeTokenFromUrl() {
  const token = /^#token=(.+)$/.exec(location.hash)?.[1];
  if (token) history.replaceState(null, '', `${location.pathname}${location.search}#/settings`);
  return token && decodeURIComponent(token);
}

/** Resumes the session of the cookie, or signs in with the token in the URL. Returns false if nobody is signed in. */
export async function resumeSession() {
  const token = takeTokenFromUrl();
  setSessionHandlers({ reauthenticate, reportOtherUser });
  // A sign-in link may be opened in a tab that already shows the console.
  addEventListener('hashchange', () => { if (location.hash.startsWith('#token=')) location.reload(); });
  try {
    setSession(token ? await signIn(token) : (await request('GET', '/admin/me', { retryAfterSignIn: false })).data);
    return true;
  } catch (problem) {
    if (problem.status !== 401 || token) throw problem;
    return false;
  }
}

const signIn = async (token) => (await request('POST', '/admin/sign-in', { body: { token }, retryAfterSignIn: false, anySubject: true })).data;

function setSession({ subject, catalog, sessions: hasSessions, expires_at: expiresAt, now }) {
  // The clock of this browser may be wrong, so the remaining time is computed from the clock of the service.
  const remaining = new Date(expiresAt) - new Date(now);
  Object.assign(session, { subject, catalog, hasSessions, expiresAt: Date.now() + remaining });
  setSubject(subject);
  emit('signed-in');
}

/**
 * Creates the sign-in form: `{ element, button, submit() }`. `submit` returns whether the sign-in succeeded, and calls
 * `accept` with the user.
 */
function signInForm(accept = setSession) {
  const input = h('input', {
    type: 'password', name: 'token', autocomplete: 'off', spellcheck: 'false', required: true, autofocus: true, 'aria-describedby': 'token-hint',
  });
  const error = h('div', { 'aria-live': 'polite' });
  const button = h('button.primary', { type: 'submit' }, 'Sign in');
  const submit = async () => {
    // Tokens are often copied from a header, with the scheme.
    const token = input.value.trim().replace(/^Bearer\s+/i, '');
    if (!token) {
      setChildren(error, h('p.error', null, 'Enter a token.'));
      input.focus();
      return false;
    }
    button.disabled = true;
    try {
      accept(await signIn(token));
      return true;
    } catch (problem) {
      // A rejected token is useless, and is easier to replace than to edit.
      input.value = '';
      setChildren(error, errorAlert(explainRejection(problem)));
      input.focus();
      return false;
    } finally {
      button.disabled = false;
    }
  };
  const element = h('div.stack', null,
    h('label.field', null, 'Access token', input),
    h('p.hint', { id: 'token-hint' }, 'A JWT with the role SUPER_ADMIN, from your identity provider or from ',
      h('code', null, 'brune token --sub you --role SUPER_ADMIN'), '. The token is stored only in a cookie that scripts cannot read.'),
    error);
  return { element, button, submit };
}

/** Replaces the service's text for a rejected token, which is the same for every cause. */
function explainRejection(problem) {
  if (problem.status === 401) {
    return Object.assign(problem, { title: 'Invalid token', message: 'the token has expired, was altered, or belongs to another service; request a new one' });
  }
  if (problem.status === 403 && problem.code === 'forbidden') {
    return Object.assign(problem, { title: 'Access denied', message: 'the console requires the role SUPER_ADMIN, which the token does not have' });
  }
  return problem;
}

/** Shows the sign-in page in `container`. Resolves after the sign-in. */
export function showSignInPage(container, problem) {
  document.title = 'Sign in · Brune';
  return new Promise((resolve) => {
    const form = signInForm();
    const onsubmit = async (event) => {
      event.preventDefault();
      if (await form.submit()) resolve();
    };
    setChildren(container, h('form.card.padded.stack.sign-in', { novalidate: true, onsubmit },
      h('div', null, h('h1', null, 'Brune'), h('p.muted', null, 'Settings control plane')),
      problem && errorAlert(explainRejection(problem)), form.element, h('div.row', null, form.button)));
    container.querySelector('input').focus();
  });
}

let pendingReauthentication = null;
/**
 * Opens the sign-in dialog over the page. Resolves after the sign-in; requests that fail meanwhile share the dialog. Rejects
 * if another user signs in: no request may be repeated under another name.
 */
export function reauthenticate() {
  pendingReauthentication ??= askForToken().finally(() => { pendingReauthentication = null; });
  return pendingReauthentication;
}

async function askForToken() {
  let user = null;
  await openDialog((close) => {
    const form = signInForm((administrator) => { user = administrator; });
    return {
      title: 'Sign in again',
      about: ['Your token has expired. Unsaved changes of ', isolate(session.subject), ' are kept.'],
      body: [form.element],
      actions: [form.button],
      submit: async () => { if (await form.submit()) close(true); },
    };
  }, { isMandatory: true });
  if (user.subject !== session.subject) throw switchUser(user.subject);
  setSession(user);
  showToast(`Signed in as ${session.subject}`);
}

/** Loads the page again for another user. Returns the problem of the requests that were waiting. */
function switchUser(subject) {
  const keptDraft = sessionStorage.getItem(draftKey()) ? ` The unsaved changes of ${session.subject} are kept in this tab until ${session.subject} signs in again.` : '';
  const detail = `You signed in as ${subject}. Nothing was sent; ${session.subject} was signed in before.${keptDraft}`;
  // The text is shown after the page was loaded.
  sessionStorage.setItem(NOTICE_KEY, detail);
  emit('user-changed');
  location.reload();
  return new Problem(0, { code: 'subject_mismatch', title: 'Signed in as another user', detail });
}

/** Returns the text about a change of the user before the page was loaded, once. */
export function takeNotice() {
  const notice = sessionStorage.getItem(NOTICE_KEY);
  sessionStorage.removeItem(NOTICE_KEY);
  return notice;
}

let pendingReport = null;
let isReported = false;
/** Tells that another tab has signed in as another user. Reads repeat by themselves, so they report once. */
function reportOtherUser(method) {
  if (pendingReport || (isReported && method === 'GET')) return;
  isReported = true;
  pendingReport = showOtherUser().finally(() => { pendingReport = null; });
}

async function showOtherUser() {
  const { data } = await request('GET', '/admin/me', { retryAfterSignIn: false, anySubject: true }).catch(() => ({ data: null }));
  if (!data || data.subject === session.subject) return;
  const { subject } = data;
  await openDialog((close) => ({
    title: ['Signed in as ', isolate(subject)],
    about: ['Another tab of this browser has signed in as ', isolate(subject), '. This page was opened by ', isolate(session.subject),
      ', so nothing is sent from here. Unsaved changes of ', isolate(session.subject), ' are kept in this tab.'],
    body: [],
    actions: [h('button', { type: 'button', onclick: () => close() }, 'Stay on this page'),
      h('button.primary', { type: 'submit', autofocus: true }, 'Continue as ', isolate(subject))],
    submit: () => switchUser(subject),
  }));
}

/** Deletes the cookie and the draft, and shows the sign-in page. */
async function signOut() {
  await request('POST', '/admin/sign-out', { retryAfterSignIn: false, anySubject: true });
  // The drafts of other people stay until they sign in again.
  const belongsToOthers = (key) => key.startsWith(draftKey('')) && key !== draftKey();
  for (const key of Object.keys(sessionStorage).filter((candidate) => !belongsToOthers(candidate))) sessionStorage.removeItem(key);
  emit('user-changed');
  location.replace(serviceUrl('/admin/'));
}

/** Returns text and badge class of the remaining time. */
function remainingTime() {
  const minutes = Math.floor((session.expiresAt - Date.now()) / 60_000);
  if (minutes < 0) return ['expired', '.danger'];
  if (minutes < 10) return [`${minutes + 1} min left`, '.warning'];
  return [minutes < 120 ? `${minutes} min left` : `${Math.floor(minutes / 60)} h left`, ''];
}

let accountTimer = null;
/** Shows the user and the remaining time of the token in `container`. */
export function showAccount(container) {
  const badge = h('span');
  const signInButton = h('button.subtle', { type: 'button', onclick: reauthenticate }, 'Sign in again');
  const draw = () => {
    const [text, kind] = remainingTime();
    setChildren(badge, h(`span.badge${kind}`, { title: `Token expires ${formatDateTime(session.expiresAt)}` }, text));
    signInButton.hidden = kind === '';
  };
  draw();
  // Signing in again draws the account anew.
  clearInterval(accountTimer);
  accountTimer = setInterval(draw, 15_000);
  setChildren(container, h('span', null, h('strong', null, isolate(session.subject)), ' ', badge), signInButton,
    h('button.subtle', { type: 'button', onclick: signOut }, 'Sign out'));
}
