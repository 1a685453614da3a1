// The HTTP client of the console. Requests carry the session cookie. A 401 opens the sign-in dialog and then repeats the
// request, so that unsaved changes survive an expired token, but only if the same user signs in.

/** An error response (RFC 9457). `status` is 0 if there was no response. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? body.title ?? `the service responded with status ${status}`);
    Object.assign(this, { status, code: body.code, title: body.title, errors: body.errors ?? [], body });
  }
}

// This module is served as `admin/assets/<version>/api.js`. A relative URL works under a path prefix as well.
const ROOT = new URL('../../../', import.meta.url);

/** Returns the URL of `path`, which begins with a slash. */
export const serviceUrl = (path) => new URL(path.slice(1), ROOT).href;

let handlers = null;
/**
 * Sets the functions that `request` calls: `reauthenticate` after a 401, which rejects if another user signs in, and
 * `reportOtherUser` if another tab has signed in as another user.
 */
export const setSessionHandlers = (sessionHandlers) => { handlers = sessionHandlers; };

let subject = null;
/** Sets the user whom the page shows. Requests are only answered for this user, because all tabs share a cookie. */
export const setSubject = (name) => { subject = name; };

const networkError = () => new Problem(0, {
  code: 'unreachable',
  title: 'Service unreachable',
  detail: 'no response was received, so the change may not have been saved. Check the network connection and whether the service is running',
});

/**
 * Sends a request and returns `{ data, headers, status }`.
 *
 * Options: `query` (null, undefined, false and '' are omitted), `body` (an object is sent as JSON, a string as `type`),
 * `headers`, `signal`, `idempotencyKey`, `retryAfterSignIn` (false: a 401 is thrown like other problems), `anySubject` (true:
 * answered for whoever is signed in).
 *
 * Throws a `Problem`, or an `AbortError` if `signal` was aborted.
 */
export async function request(method, path, { query, body, type, headers, signal, idempotencyKey, retryAfterSignIn = true, anySubject = false } = {}) {
  const url = serviceUrl(path) + queryString(query);
  // Settings change at any time, so a cached response would be outdated.
  const options = { method, headers: { Accept: 'application/json, */*', ...headers }, signal, credentials: 'same-origin', cache: 'no-store' };
  if (body !== undefined) {
    options.headers['Content-Type'] = type ?? 'application/json';
    options.body = typeof body === 'string' ? body : JSON.stringify(body);
  }
  if (idempotencyKey) options.headers['Idempotency-Key'] = idempotencyKey;
  // Set once: a repetition after a sign-in must not act as another user.
  if (subject !== null && !anySubject) options.headers['X-Brune-Subject'] = encodeURIComponent(subject);
  for (;;) {
    const response = await fetch(url, options).catch((error) => {
      throw error.name === 'AbortError' ? error : networkError();
    });
    const text = await response.text().catch(() => { throw networkError(); });
    const isJson = /json/.test(response.headers.get('content-type') ?? '');
    const data = isJson ? parseJson(text) : text;
    if (response.ok || response.status === 304) return { data, headers: response.headers, status: response.status };
    if (response.status === 401 && retryAfterSignIn && handlers) {
      await handlers.reauthenticate();
      continue;
    }
    if (data?.code === 'subject_mismatch') handlers?.reportOtherUser(method);
    // A proxy in front of the service may respond with HTML. Its first characters are better than no message.
    throw new Problem(response.status, typeof data === 'object' && data ? data : { title: text.slice(0, 200) });
  }
}

/** Sends a GET request and returns the data of the response. */
export const fetchJson = async (path, query, options) => (await request('GET', path, { query, ...options })).data;

/** Returns `query` as `?name=value`, or an empty string if no parameter has a value. */
export function queryString(query) {
  const hasValue = ([, value]) => value !== null && value !== undefined && value !== '' && value !== false;
  const parameters = Object.entries(query ?? {}).filter(hasValue);
  return parameters.length > 0 ? `?${new URLSearchParams(parameters)}` : '';
}

/** Returns a random idempotency key. A write and its retries share a key. */
export function newIdempotencyKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Returns a function that returns the idempotency key of a request. A retry of the same request reuses its key. */
export function idempotencyKeys() {
  let lastText = null;
  let key = null;
  return (...content) => {
    const text = JSON.stringify(content);
    if (text !== lastText) key = newIdempotencyKey();
    lastText = text;
    return key;
  };
}

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    // A proxy may truncate the body. The status still explains the failure.
    return null;
  }
}
