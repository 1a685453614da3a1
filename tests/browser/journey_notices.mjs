// Notices follow what they are about, dialogs close with their page, and a change of a removed setting can be discarded.
import assert from 'node:assert/strict';
import { api, change, enter, journey, rewriting, row, setting, timeAfter, visit } from './console.mjs';

const COOLDOWN = 'BRUNE_COOLDOWN_MINUTES';
const PER_DAY = 'BRUNE_MAX_SESSIONS_PER_DAY';
const approve = (number, apply) => api('POST', `/admin/proposals/${number}/verdicts`, { edition: 1, verdict: 'approve', apply });
const lines = (page) => page.locator('.banners').getByRole('status').filter({ visible: true }).count();

await journey(async (page) => {
  const rewriteSettings = await rewriting(page, '**/admin/global-settings');
  await enter(page);
  const dialog = page.getByRole('dialog').last();
  const banners = page.getByRole('region', { name: 'Notifications' });
  const edit = async (key, name, value) => {
    await row(page, key).getByRole('button', { name: `Edit ${name}` }).click();
    await page.getByRole('spinbutton', { name }).fill(value);
  };
  const propose = async (key, name, value, reason) => {
    await edit(key, name, value);
    await page.getByRole('button', { name: 'Review and propose' }).click();
    await dialog.getByLabel('Reason').fill(reason);
    await page.keyboard.press('Control+Enter');
    await dialog.waitFor({ state: 'detached' });
  };

  // A notice says what a proposal needs now, and the focus is on the way to the proposal.
  await propose(COOLDOWN, 'Cooldown minutes', '45', 'calmer evenings');
  await banners.getByText('Proposed as proposal 1. It needs 1 approval by another person.').waitFor();
  await page.waitForFunction(() => document.activeElement.textContent === 'proposal 1');
  await approve(1, true);
  await banners.getByText('Proposal 1 was applied as revision 2.').waitFor();
  assert.equal(await banners.getByText('needs 1 approval').count(), 0);
  await row(page, COOLDOWN).getByText('45').waitFor();

  // In a freeze the bar and the dialog say the same, and the notice says that nothing can be applied.
  await api('POST', '/admin/freezes', { reason: 'big launch', ends_at: await timeAfter(3_600_000) });
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  const freezeBanner = banners.getByRole('status').filter({ hasText: 'Settings are frozen until' });
  await freezeBanner.waitFor();
  assert.match(await freezeBanner.textContent(), / UTC([+-]\d\d:\d\d)?/);
  await propose(PER_DAY, 'Max sessions per day', '7', 'seven are enough');
  await banners.getByText('Proposed as proposal 2. It can be applied by anybody after the freeze').waitFor();
  assert.ok(await lines(page) <= 2);
  // Beside the freeze there is room for one: the notice of an earlier event, which arrives late, does not replace a newer one.
  await page.evaluate(async () => {
    const script = document.querySelector('script[type=module]').src;
    const { showNotice } = await import(new URL('notices.js', script).href);
    showNotice('late', { content: 'of an earlier event', since: 0 });
  });
  assert.equal(await banners.getByText('of an earlier event').count(), 0);
  await banners.getByText('Proposed as proposal 2.').waitFor();
  const { active } = await api('GET', '/admin/freezes');
  await api('POST', `/admin/freezes/${active.id}/end`, { reason: 'the launch is over' });
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await banners.getByText('Proposed as proposal 2. It can be applied by anybody.').waitFor();
  for (const value of [50, 55, 60]) await api('PATCH', '/admin/global-settings?emergency=true', { reason: `now ${value}`, changes: [{ key: COOLDOWN, value, version: (await setting(COOLDOWN)).version }] });
  await banners.getByText('now 60').waitFor();
  assert.ok(await lines(page) <= 2);
  assert.equal(await banners.getByText('now 50').count(), 0);

  // The list says what a proposal waits for.
  await api('POST', '/admin/proposals', { reason: 'of ben', changes: [{ key: COOLDOWN, value: 20, version: (await setting(COOLDOWN)).version }] });
  await visit(page, '#/proposals');
  await page.getByRole('row').filter({ hasText: 'of ben' }).getByText('Approve', { exact: true }).waitFor();
  await page.getByRole('row').filter({ hasText: 'now 60' }).getByText('Acknowledge', { exact: true }).waitFor();

  // A dialog closes with its page, but not before the user has agreed to lose what was typed.
  const { number } = (await api('GET', '/admin/proposals', null)).proposals[0];
  await visit(page, `#/proposals/${number}`);
  const approveButton = page.getByRole('button', { name: 'Approve and apply…' });
  await approveButton.click();
  await dialog.waitFor();
  await page.goBack();
  await page.getByRole('heading', { level: 1, name: 'Proposals' }).waitFor();
  assert.equal(await page.getByRole('dialog').count(), 0);
  await page.goForward();
  await approveButton.click();
  await dialog.getByLabel('Note').fill('a long note');
  await page.goBack();
  const question = page.getByRole('dialog', { name: 'Leave the page?' });
  await question.getByRole('button', { name: 'Stay on this page' }).click();
  await question.waitFor({ state: 'detached' });
  assert.equal(await dialog.getByLabel('Note').inputValue(), 'a long note');
  await page.waitForURL((url) => url.hash === `#/proposals/${number}`);
  await page.goBack();
  await question.getByRole('button', { name: 'Discard and leave' }).click();
  await page.getByRole('heading', { level: 1, name: 'Proposals' }).waitFor();
  assert.equal(await page.getByRole('dialog').count(), 0);

  // A release of the catalog without a setting of the draft: only that change is discarded.
  await visit(page, '#/settings');
  await edit(COOLDOWN, 'Cooldown minutes', '33');
  await edit(PER_DAY, 'Max sessions per day', '9');
  rewriteSettings((body) => ({ ...body, settings: body.settings.filter(({ key }) => key !== COOLDOWN) }));
  await change({ BRUNE_SESSION_MAX_MINUTES: 31 });
  const bar = page.getByRole('region', { name: 'Unsaved changes' });
  await bar.getByText('Cooldown minutes is no longer in the catalog').waitFor();
  await bar.getByRole('button', { name: 'Review and save' }).click();
  await dialog.getByText('The catalog no longer declares the setting.').waitFor();
  await dialog.getByRole('button', { name: 'Discard the change of Cooldown minutes' }).click();
  await dialog.getByLabel('Reason').fill('nine are enough');
  await page.keyboard.press('Control+Enter');
  await page.getByText('Saved 1 change as revision').first().waitFor();
  assert.equal((await setting(PER_DAY)).value, 9);
});
