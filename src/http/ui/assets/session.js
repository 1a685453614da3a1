// Who is signed in. A token is pasted, or comes in the fragment of the start-up link, and becomes a cookie that no
// script can read; it is held nowhere here.
import { request, serviceUrl, setReauthentication } from './api.js';
import { emit, h, isolate, setChildren, showToast } from './dom.js';
import { formatDateTime } from './format.js';
import { errorAlert, openDialog } from './parts.js';

/** Who is signed in, until when by this browser's clock, and the catalog: its name and whether it has sessions. */
export const session = { subject: null, catalog: '', sessions: false, until: 0 };

/** The token in the address, which leaves it at once. */
function tokenOfAddress() {
  const token = /^#token=(.+)$/.exec(location.hash)?.[1];
  if (token) history.replaceState(null, '', `${location.pathname}${location.search}#/settings`);
  return token && decodeURIComponent(token);
}

/** Finds out who is asking, signing in with the address's token if there is one. False if nobody is. */
export async function resumeSession() {
  const token = tokenOfAddress();
  setReauthentication(reauthenticate);
  // The link, opened in a tab that is here already.
  addEventListener('hashchange', () => { if (location.hash.startsWith('#token=')) location.reload(); });
  try {
    take(token ? await send(token) : (await request('GET', '/admin/me', { ask: false })).data);
    return true;
  } catch (problem) {
    if (problem.status !== 401 || token) throw problem;
    return false;
  }
}

const send = async (token) => (await request('POST', '/admin/sign-in', { body: { token }, ask: false })).data;

function take(answer) {
  const before = session.subject;
  // The service's clock decides, and this browser's may be wrong: what counts is how long is left.
  const left = new Date(answer.expires_at) - new Date(answer.now);
  Object.assign(session, { subject: answer.subject, catalog: answer.catalog, sessions: answer.sessions, until: Date.now() + left });
  emit('signed-in', { again: before !== null });
}

/** The field of a token and what to do with it: `{ element, button, submit() }`; `submit` is true once signed in. */
function signInForm() {
  const field = h('input', {
    type: 'password', name: 'token', autocomplete: 'off', spellcheck: 'false', required: true, autofocus: true, 'aria-describedby': 'token-hint',
  });
  const wrong = h('div', { 'aria-live': 'polite' });
  const button = h('button.primary', { type: 'submit' }, 'Sign in');
  const submit = async () => {
    const token = field.value.trim().replace(/^Bearer\s+/i, '');
    if (!token) {
      setChildren(wrong, h('p.error', null, 'Paste a token first.'));
      field.focus();
      return false;
    }
    button.disabled = true;
    try {
      take(await send(token));
      return true;
    } catch (problem) {
      field.value = '';
      setChildren(wrong, errorAlert(refused(problem)));
      field.focus();
      return false;
    } finally {
      button.disabled = false;
    }
  };
  const element = h('div.stack', null,
    h('label.field', null, 'Token of a SUPER_ADMIN', field),
    h('p.hint', { id: 'token-hint' }, 'A JWT from your identity provider, or of ', h('code', null, 'brune token --sub you --role SUPER_ADMIN'),
      '. It becomes a cookie that scripts cannot read, and is kept nowhere else.'),
    wrong);
  return { element, button, submit };
}

/** A refused token is told in words of its own: what the service says of credentials is the same for every fault. */
function refused(problem) {
  if (problem.status === 401) return Object.assign(problem, { title: 'This token is not accepted', message: 'it is not of this service, was altered, or has expired; ask for a new one' });
  if (problem.status === 403 && problem.code === 'forbidden') return Object.assign(problem, { title: 'This token may not come in', message: 'the console is for the role SUPER_ADMIN, which this token does not have' });
  return problem;
}

/** The page of those who are not signed in; the promise is kept once they are. */
export function showSignInPage(place, problem) {
  document.title = 'Sign in · Brune';
  return new Promise((resolve) => {
    const form = signInForm();
    setChildren(place, h('form.card.padded.stack.sign-in', {
      novalidate: true,
      onsubmit: async (event) => {
        event.preventDefault();
        if (await form.submit()) resolve();
      },
    }, h('div', null, h('h1', null, 'Brune'), h('p.muted', null, 'Settings that change while the service runs.')),
    problem && errorAlert(refused(problem)), form.element, h('div.row', null, form.button)));
    place.querySelector('input').focus();
  });
}

let asking = null;
/** Asks to sign in again where it is needed; everything on the page stays. */
export function reauthenticate() {
  asking ??= openDialog((close) => {
    const form = signInForm();
    return {
      title: 'Sign in again',
      about: 'The token you came with has expired. Nothing of what you have not saved is lost.',
      body: [form.element],
      actions: [form.button],
      submit: async () => { if (await form.submit()) close(true); },
    };
  }, { stays: true }).then(() => {
    asking = null;
    showToast(`Signed in as ${session.subject}`);
  });
  return asking;
}

/** Ends it: the cookie goes, and so does everything that is shown. */
export async function signOut() {
  await request('POST', '/admin/sign-out', { ask: false });
  sessionStorage.clear();
  location.replace(serviceUrl('/admin/'));
}

/** Who is signed in and for how long, kept true. */
export function showAccount(place) {
  const left = () => {
    const minutes = Math.floor((session.until - Date.now()) / 60_000);
    if (minutes < 0) return ['signed out', 'danger'];
    if (minutes < 10) return [`${minutes + 1} min left`, 'warning'];
    return [minutes < 120 ? `${minutes} min left` : `${Math.floor(minutes / 60)} h left`, ''];
  };
  const mark = h('span');
  const draw = () => {
    const [text, kind] = left();
    setChildren(mark, h(`span.badge${kind ? `.${kind}` : ''}`, { title: `until ${formatDateTime(session.until)}` }, text));
    again.hidden = kind === '';
  };
  const again = h('button.subtle', { type: 'button', onclick: reauthenticate }, 'Sign in again');
  draw();
  clearInterval(showAccount.timer);
  showAccount.timer = setInterval(draw, 15_000);
  setChildren(place, h('span', null, h('strong', null, isolate(session.subject)), ' ', mark), again,
    h('button.subtle', { type: 'button', onclick: signOut }, 'Sign out'));
}
