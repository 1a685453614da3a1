// The OpenFeature provider for browsers, which reads all flags at once and hears of changes.
import assert from 'node:assert/strict';
import { EventSource } from 'eventsource';

// What a browser brings along.
globalThis.EventSource = EventSource;
const stored = new Map();
globalThis.localStorage = {
  getItem: (key) => stored.get(key) ?? null,
  setItem: (key, value) => stored.set(key, value),
  removeItem: (key) => stored.delete(key),
};

const { OpenFeature, ProviderEvents } = await import('@openfeature/web-sdk');
const { OFREPWebProvider } = await import('@openfeature/ofrep-web-provider');
const { BRUNE, ADMIN, USER } = process.env;

const asked = [];
let answered = () => {};
const fetchImplementation = async (...request) => {
  const response = await fetch(...request);
  asked.push({ search: new URL(response.url).search, status: response.status });
  answered();
  return response;
};
const heard = [];
let wake = () => {};
OpenFeature.addHandler(ProviderEvents.ConfigurationChanged, (event) => {
  heard.push(event.flagsChanged);
  wake();
});
// The test that runs this script ends it when no change arrives.
const next = async () => {
  while (heard.length === 0) await new Promise((resolve) => { wake = resolve; });
  return heard.shift();
};
const change = async (key, value, version) => {
  const response = await fetch(`${BRUNE}/admin/global-settings`, {
    method: 'PATCH',
    headers: { Authorization: `Bearer ${ADMIN}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ reason: 'a test', changes: [{ key, value, version }] }),
  });
  assert.equal(response.status, 200, await response.text());
};

await OpenFeature.setContext({ targetingKey: 'admin-ui' });
await OpenFeature.setProviderAndWait(new OFREPWebProvider({
  baseUrl: BRUNE, headers: [['Authorization', `Bearer ${USER}`]], fetchImplementation,
}));
const client = OpenFeature.getClient();
assert.equal(client.getNumberValue('BRUNE_COOLDOWN_MINUTES', 1), 30);
assert.equal(client.getBooleanValue('BRUNE_ELIGIBILITY_REQUIRE_PLAN', false), true);
const models = client.getObjectValue('BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST', []);
assert.deepEqual(models, ['gpt-realtime-2.1', 'gpt-realtime-2.1-mini']);
const text = client.getStringDetails('BRUNE_PROMPT_VERSION', 'x');
assert.deepEqual([text.value, text.reason, text.variant], ['1', 'STATIC', 'v1']);
const unknown = client.getStringDetails('JWT_SECRET', 'x');
assert.deepEqual([unknown.value, unknown.errorCode], ['x', 'FLAG_NOT_FOUND']);

await change('BRUNE_COOLDOWN_MINUTES', 45, 1);
assert.deepEqual(await next(), ['BRUNE_COOLDOWN_MINUTES']);
assert.equal(client.getNumberValue('BRUNE_COOLDOWN_MINUTES', 1), 45);
assert.match(asked.at(-1).search, /^\?flagConfigEtag=%22r2-[0-9a-f]{8}%22&flagConfigLastModified=\d+$/);
await change('BRUNE_PROMPT_VERSION', '2', 1);
assert.deepEqual(await next(), ['BRUNE_PROMPT_VERSION']);
assert.equal(client.getStringValue('BRUNE_PROMPT_VERSION', 'x'), '2');
await OpenFeature.clearProviders();

// One that polls is answered 304 while nothing changes.
asked.length = 0;
await OpenFeature.setProviderAndWait(new OFREPWebProvider({
  baseUrl: BRUNE, headers: [['Authorization', `Bearer ${USER}`]], fetchImplementation,
  changeDetection: 'polling', pollInterval: 50, cacheMode: 'disabled',
}));
while (asked.at(-1)?.status !== 304) await new Promise((resolve) => { answered = resolve; });
await change('BRUNE_PROMPT_VERSION', '3', 2);
assert.deepEqual(await next(), ['BRUNE_PROMPT_VERSION']);
process.exit(0);
