// The public API, and nothing but it. The cookie speaks for whoever signed in; a 401 asks to sign in again and then goes
// on where it stopped, so that nothing on the page is lost.

/** What went wrong, as the service tells it (RFC 9457). `status` is 0 when there was no answer. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? body.title ?? `the service answered with ${status}`);
    Object.assign(this, { status, code: body.code, title: body.title, errors: body.errors ?? [], body });
  }
}

// This module is `admin/assets/<version>/api.js` of the service, which may be mounted under a path.
const ROOT = new URL('../../../', import.meta.url);
/** Where `path` of the service is. */
export const serviceUrl = (path) => new URL(path.slice(1), ROOT).href;

let signInAgain = null;
/** Names what is called, and waited for, when the service no longer knows who is asking. */
export const setReauthentication = (ask) => { signInAgain = ask; };

const unreachable = () => new Problem(0, {
  code: 'unreachable',
  title: 'The service does not answer',
  detail: 'the service does not answer; nothing is known to have been stored. Is it running, and is this machine connected?',
});

/**
 * Asks `method path`: `query` (null, undefined and '' are left out), `body` (an object is sent as JSON, a text as
 * `type`), `headers`, `signal`, `once` (the idempotency key of a write), `ask` (false: a 401 is a problem like others).
 * Returns `{ data, headers, status }`; whatever goes wrong is a `Problem`.
 */
export async function request(method, path, { query, body, type, headers, signal, once, ask = true } = {}) {
  const target = serviceUrl(path) + queryString(query);
  const init = { method, headers: { Accept: 'application/json, */*', ...headers }, signal, credentials: 'same-origin', cache: 'no-store' };
  if (body !== undefined) {
    init.headers['Content-Type'] = type ?? 'application/json';
    init.body = typeof body === 'string' ? body : JSON.stringify(body);
  }
  if (once) init.headers['Idempotency-Key'] = once;
  for (;;) {
    const response = await fetch(target, init).catch((error) => {
      throw error.name === 'AbortError' ? error : unreachable();
    });
    const text = await response.text().catch(() => { throw unreachable(); });
    const data = /json/.test(response.headers.get('content-type') ?? '') ? parse(text) : text;
    if (response.ok || response.status === 304) return { data, headers: response.headers, status: response.status };
    if (response.status === 401 && ask && signInAgain) {
      await signInAgain();
      continue;
    }
    throw new Problem(response.status, typeof data === 'object' && data ? data : { title: text.slice(0, 200) });
  }
}

/** What `GET path` has to say. */
export const fetchJson = async (path, query, options) => (await request('GET', path, { query, ...options })).data;

/** `?a=b` of what `query` holds; nothing of nothing. */
export function queryString(query) {
  const pairs = Object.entries(query ?? {}).filter(([, value]) => value !== null && value !== undefined && value !== '' && value !== false);
  return pairs.length ? `?${new URLSearchParams(pairs)}` : '';
}

/** A key that one write and its repeats share. */
export const newIdempotencyKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((it) => it.toString(16).padStart(2, '0')).join('');

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
