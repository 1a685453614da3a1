// A number that may have a fraction, over a change to a whole value and back.
import assert from 'node:assert/strict';
import { OpenFeature } from '@openfeature/server-sdk';
import { OFREPProvider } from '@openfeature/ofrep-provider';

const { BRUNE, KEY, ADMIN } = process.env;

await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: BRUNE, headers: { 'X-API-Key': KEY } }));
const client = OpenFeature.getClient();

const change = async (value, version) => {
  const changed = await fetch(`${BRUNE}/admin/global-settings`, {
    method: 'PATCH',
    headers: { Authorization: `Bearer ${ADMIN}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ reason: 'a test', changes: [{ key: 'RATE', value, version }] }),
  });
  assert.equal(changed.status, 200);
};
const arrives = async (expected) => {
  // The test that runs this script ends it when the value never arrives.
  for (;;) {
    const { value, errorCode } = await client.getNumberDetails('RATE', -1);
    assert.equal(errorCode, undefined);
    if (value === expected) return;
  }
};

await arrives(5.5);
await change(6, 1);
await arrives(6);
await change(5.5, 2);
await arrives(5.5);
assert.equal(await client.getNumberValue('LIMIT', -1), 6);
process.exit(0);
