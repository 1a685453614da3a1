// The OpenFeature provider for servers, which asks for each flag when it is evaluated.
import assert from 'node:assert/strict';
import { OpenFeature } from '@openfeature/server-sdk';
import { OFREPProvider } from '@openfeature/ofrep-provider';

const { BRUNE, KEY, ADMIN, USER } = process.env;

const clientWith = async (domain, headers) => {
  await OpenFeature.setProviderAndWait(domain, new OFREPProvider({ baseUrl: BRUNE, headers }));
  return OpenFeature.getClient(domain);
};
const client = await clientWith('by-key', { 'X-API-Key': KEY });
const context = { targetingKey: 'brun-e', notes: 'two\nlines' };

const number = await client.getNumberDetails('BRUNE_COOLDOWN_MINUTES', 1, context);
assert.equal(number.value, 30);
assert.equal(number.reason, 'STATIC');
assert.equal(number.variant, 'v1');
assert.deepEqual(number.flagMetadata, { version: 1, valueType: 'number', revision: 1, stale: false });
assert.equal(await client.getBooleanValue('BRUNE_ELIGIBILITY_REQUIRE_PLAN', false), true);
assert.equal(await client.getStringValue('BRUNE_PROMPT_VERSION', 'x'), '1');
const models = await client.getObjectValue('BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST', []);
assert.deepEqual(models, ['gpt-realtime-2.1', 'gpt-realtime-2.1-mini']);

for (const key of ['NOPE', 'JWT_SECRET', 'a/b']) {
  const unknown = await client.getStringDetails(key, 'default');
  assert.deepEqual([unknown.value, unknown.errorCode], ['default', 'FLAG_NOT_FOUND'], key);
}
const mistyped = await client.getBooleanDetails('BRUNE_PROMPT_VERSION', false);
assert.deepEqual([mistyped.value, mistyped.errorCode], [false, 'TYPE_MISMATCH']);

const byToken = await clientWith('by-token', { Authorization: `Bearer ${USER}` });
assert.equal(await byToken.getNumberValue('BRUNE_COOLDOWN_MINUTES', 1), 30);
const nobody = await clientWith('nobody', {});
const refused = await nobody.getNumberDetails('BRUNE_COOLDOWN_MINUTES', 1);
assert.deepEqual([refused.value, refused.errorCode], [1, 'GENERAL']);

const changed = await fetch(`${BRUNE}/admin/global-settings`, {
  method: 'PATCH',
  headers: { Authorization: `Bearer ${ADMIN}`, 'Content-Type': 'application/json' },
  body: JSON.stringify({
    reason: 'a test', changes: [{ key: 'BRUNE_COOLDOWN_MINUTES', value: 45, version: 1 }],
  }),
});
assert.equal(changed.status, 200);
// The test that runs this script ends it when the change never arrives.
while ((await client.getNumberValue('BRUNE_COOLDOWN_MINUTES', 1)) !== 45);
process.exit(0);
