// What-if: recorded starts under the draft in the review, and under a proposal. Nothing is stored.
import assert from 'node:assert/strict';
import { ADMIN, BASE, USER, api, enter, journey, row, setting, tabTo, timeAfter, visit } from './console.mjs';

const COOLDOWN = 'BRUNE_COOLDOWN_MINUTES';
const PER_DAY = 'BRUNE_MAX_SESSIONS_PER_DAY';
const DAY = 86_400_000;

/** Records two attempts: a session, and a second start that the cooldown refuses. */
async function recordAttempts() {
  const headers = { Authorization: `Bearer ${USER}` };
  const session = await api('POST', '/brun-e/start', undefined, USER);
  await api('POST', `/brun-e/sessions/${session.session_id}/end`, undefined, USER);
  const { status } = await fetch(`${BASE}/brun-e/start`, { method: 'POST', headers });
  assert.equal(status, 403);
}

await journey(async (page) => {
  await recordAttempts();
  await enter(page);
  const dialog = page.getByRole('dialog');
  const whatIf = dialog.getByRole('region', { name: 'What-if' });

  // By keyboard: the review of a shorter cooldown says who would have been admitted.
  await row(page, COOLDOWN).getByRole('button', { name: 'Edit Cooldown minutes' }).click();
  await page.getByRole('spinbutton', { name: 'Cooldown minutes' }).fill('0');
  await page.getByRole('button', { name: 'Review and save' }).click();
  await tabTo(page, whatIf.getByRole('button', { name: 'Show what-if' }));
  await page.keyboard.press('Enter');
  await whatIf.getByRole('status').getByText('Of 2 attempts: 1 would have been admitted.').waitFor();
  await whatIf.getByText('The recorded settings explain 100 % of the recorded decisions (2 of 2).').waitFor();
  await whatIf.getByRole('table', { name: /^Newly admitted: recorded reason/ }).getByRole('row', { name: 'cooldown 1' }).waitFor();
  await whatIf.getByText('How long the newly admitted sessions would have lasted').waitFor();
  await whatIf.getByText('Examples of one user').click();
  await whatIf.getByRole('row', { name: /^ana/ }).getByText('Was refused: cooldown.').waitFor();
  // The focus is still on the button, and Enter did not save.
  assert.equal((await setting(COOLDOWN)).value, 30);

  // Another change has no report yet.
  await page.keyboard.press('Escape');
  await row(page, PER_DAY).getByRole('button', { name: 'Edit Max sessions per day' }).click();
  await page.getByRole('spinbutton', { name: 'Max sessions per day' }).fill('9');
  await page.getByRole('button', { name: 'Review and save' }).click();
  await whatIf.getByRole('button', { name: 'Show what-if' }).waitFor();
  assert.equal(await whatIf.getByRole('table').count(), 0);

  // An instance that replays for somebody else says so, and is asked again.
  const busy = { type: 'about:blank', title: 'Another what-if is running', status: 429, code: 'what_if_busy', detail: 'try again' };
  await page.route('**/admin/what-if', (route) => route.fulfill({ status: 429, contentType: 'application/problem+json', body: JSON.stringify(busy) }), { times: 1 });
  await whatIf.getByLabel('Attempts of').selectOption('the last 7 days');
  await whatIf.getByRole('button', { name: 'Show what-if' }).click();
  await whatIf.getByText('Another what-if is running.').waitFor();
  const request = page.waitForRequest('**/admin/what-if');
  await whatIf.getByRole('button', { name: 'Try again' }).click();
  const { since, changes } = (await request).postDataJSON();
  assert.ok(since < await timeAfter(-6 * DAY), since);
  assert.deepEqual(changes, [{ key: COOLDOWN, value: 0 }, { key: PER_DAY, value: 9 }]);
  await whatIf.getByText('Of 2 attempts: 1 would have been admitted.').waitFor();
  await page.waitForFunction(() => document.activeElement.textContent === 'Show what-if');

  // A change while the dialog is open removes the report, which belongs to another change.
  await api('PATCH', '/admin/global-settings', { reason: 'nine as well', changes: [{ key: PER_DAY, value: 9, version: 1 }] });
  await whatIf.getByText('The change was edited.').waitFor();
  assert.equal(await whatIf.getByRole('table').count(), 0);
  await page.keyboard.press('Escape');

  // A proposal has a what-if of its current edition, until it is withdrawn.
  const { number } = await api('POST', '/admin/proposals', { reason: 'longer', changes: [{ key: COOLDOWN, value: 5, version: 1 }] }, ADMIN);
  await visit(page, `#/proposals/${number}`);
  const section = page.getByRole('region', { name: 'What-if' });
  await section.getByRole('button', { name: 'Show what-if' }).click();
  await section.getByText('No decision on the 2 attempts would have been different').waitFor();
  await section.getByText('The recorded settings explain 100 %').waitFor();
  await api('PUT', `/admin/proposals/${number}`, { reason: 'none', changes: [{ key: COOLDOWN, value: 0, version: 1 }] }, ADMIN, { 'If-Match': '"e1"' });
  await section.getByText('The change was edited.').waitFor();
  await section.getByRole('button', { name: 'Show what-if' }).click();
  await section.getByText('Of 2 attempts: 1 would have been admitted.').waitFor();
  await api('POST', `/admin/proposals/${number}/withdraw`, { reason: 'not needed' }, ADMIN);
  await section.waitFor({ state: 'hidden' });
});
