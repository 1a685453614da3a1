// Protected settings: the review, the rollback and the import propose; a schedule, a freeze meanwhile, an emergency.
import assert from 'node:assert/strict';
import { api, enter, interception, journey, rewriting, row, setting, tabTo, timeAfter, visit } from './console.mjs';

const COOLDOWN = 'BRUNE_COOLDOWN_MINUTES';
const PROMPT = 'BRUNE_PROMPT_VERSION';
const PER_DAY = 'BRUNE_MAX_SESSIONS_PER_DAY';
const HOUR = 3_600_000;

const proposal = (number) => api('GET', `/admin/proposals/${number}`);
const approve = async (number) => api('POST', `/admin/proposals/${number}/verdicts`, { edition: 1, verdict: 'approve', apply: true });

await journey(async (page) => {
  const beforeProposing = await interception(page, 'POST', '**/admin/proposals');
  const rewriteSettings = await rewriting(page, '**/admin/global-settings');
  await enter(page);
  const dialog = page.getByRole('dialog').last();
  const bar = page.getByRole('region', { name: 'Unsaved changes' });
  const banners = page.getByRole('region', { name: 'Notifications' });
  const edit = async (key, name, value, role = 'spinbutton') => {
    await row(page, key).getByRole('button', { name: `Edit ${name}` }).click();
    await page.getByRole(role, { name, exact: true }).fill(value);
  };

  // By keyboard alone: a protected setting is proposed, not saved.
  await row(page, COOLDOWN).getByText('needs 1 approval').waitFor();
  await row(page, PROMPT).getByText('needs 2 approvals').waitFor();
  await tabTo(page, row(page, COOLDOWN).getByRole('button', { name: 'Edit Cooldown minutes' }));
  await page.keyboard.press('Enter');
  await page.keyboard.type('45');
  await bar.getByRole('button', { name: 'Review and propose' }).waitFor();
  // A protected draft is validated as well.
  await page.keyboard.press('Control+a');
  await page.keyboard.type('999');
  await row(page, COOLDOWN).getByText('Must be between 0 and 240').waitFor();
  await page.keyboard.press('Control+a');
  await page.keyboard.type('45');
  await bar.getByText('1 invalid').waitFor({ state: 'detached' });
  await tabTo(page, bar.getByRole('button', { name: 'Review and propose' }));
  await page.keyboard.press('Enter');
  await page.getByRole('dialog', { name: 'Review and propose' }).waitFor();
  await dialog.getByText('Cooldown minutes needs 1 approval by another person.').waitFor();
  await dialog.getByText('to propose').waitFor();
  await tabTo(page, dialog.getByLabel('Reason'));
  await page.keyboard.type('calmer evenings');
  await page.keyboard.press('Control+Enter');
  await dialog.waitFor({ state: 'detached' });
  await banners.getByText('Proposed as proposal 1. It needs 1 approval by another person.').waitFor();
  assert.equal(await banners.getByRole('link', { name: 'proposal 1' }).getAttribute('href'), '#/proposals/1');
  await bar.waitFor({ state: 'hidden' });
  await row(page, COOLDOWN).getByRole('link', { name: 'proposal 1' }).waitFor();
  await visit(page, '#/transfer');
  await visit(page, '#/settings');
  await row(page, COOLDOWN).getByRole('link', { name: 'proposal 1' }).waitFor();
  assert.equal((await setting(COOLDOWN)).value, 30);
  const { changes, plan, created_by: author } = await proposal(1);
  assert.deepEqual([changes[0].key, changes[0].value, changes[0].version, plan.at, author], [COOLDOWN, 45, 1, undefined, 'ada']);
  await approve(1);
  await row(page, COOLDOWN).getByText('45').waitFor();
  await banners.getByRole('button', { name: 'Dismiss' }).first().click();

  // A setting without protection is saved, or proposed on request, with a time.
  await edit(PER_DAY, 'Max sessions per day', '7');
  await bar.getByRole('button', { name: 'Review and save' }).click();
  await page.getByRole('dialog', { name: 'Review and save' }).waitFor();
  assert.ok(await dialog.getByRole('button', { name: 'Save as an emergency…' }).isHidden());
  await dialog.getByRole('button', { name: 'Propose instead' }).click();
  await page.getByRole('dialog', { name: 'Review and propose' }).waitFor();
  await dialog.getByLabel('Reason').fill('more at night');
  await dialog.getByLabel('Apply at').fill('2020-01-01T02:00');
  await dialog.getByRole('button', { name: 'Propose 1 change' }).click();
  await dialog.getByText('The time must be in the future').waitFor();
  const soon = new Date(await timeAfter(2 * HOUR));
  await dialog.getByLabel('Apply at').fill(new Date(soon - soon.getTimezoneOffset() * 60_000).toISOString().slice(0, 16));
  await dialog.getByRole('button', { name: 'Propose 1 change' }).click();
  await dialog.waitFor({ state: 'detached' });
  await banners.getByText('Proposed as proposal 2. It is applied on').waitFor();
  assert.equal(Date.parse((await proposal(2)).plan.at), Math.floor(soon / 60_000) * 60_000);

  // A freeze that begins while the dialog is open: the ways out are a proposal and the end of the freeze.
  await edit(PER_DAY, 'Max sessions per day', '8');
  await bar.getByRole('button', { name: 'Review and save' }).click();
  await dialog.getByLabel('Reason').fill('eight are enough');
  await api('POST', '/admin/freezes', { reason: 'big launch', ends_at: await timeAfter(HOUR) });
  await dialog.getByRole('button', { name: 'Save 1 change' }).click();
  await dialog.getByText('Settings are frozen. Nothing was changed.').waitFor();
  await dialog.getByText('big launch').waitFor();
  await dialog.getByRole('button', { name: 'Propose 1 change' }).waitFor();
  await dialog.getByRole('button', { name: 'End freeze…' }).click();
  const end = page.getByRole('dialog', { name: 'End the freeze' });
  await end.getByLabel('Reason').fill('the launch is over');
  await end.getByRole('button', { name: 'End freeze' }).click();
  await end.waitFor({ state: 'detached' });
  await page.getByRole('dialog', { name: 'Review and save' }).getByRole('button', { name: 'Save 1 change' }).click();
  await page.getByText('Saved 1 change as revision').first().waitFor();
  assert.equal((await setting(PER_DAY)).value, 8);

  // An emergency is confirmed separately, and Enter does not confirm by accident.
  await edit(PROMPT, 'Prompt version', '2', 'textbox');
  await bar.getByRole('button', { name: 'Review and propose' }).click();
  await dialog.getByText('Prompt version needs 2 approvals').waitFor();
  await dialog.getByRole('button', { name: 'Save as an emergency…' }).click();
  await dialog.getByText('Enter a reason of at least 3 characters').waitFor();
  await dialog.getByLabel('Reason').fill('prompt 1 is broken');
  await dialog.getByRole('button', { name: 'Save as an emergency…' }).click();
  const confirmation = page.getByRole('dialog', { name: 'Save as an emergency?' });
  await confirmation.getByText('until another person acknowledges it').waitFor();
  await page.keyboard.press('Enter');
  await confirmation.waitFor({ state: 'detached' });
  assert.equal((await setting(PROMPT)).value, '1');
  await dialog.getByRole('button', { name: 'Save as an emergency…' }).click();
  await confirmation.getByRole('button', { name: 'Save 1 change as an emergency' }).click();
  await banners.getByText('Saved as an emergency').waitFor();
  await dialog.waitFor({ state: 'detached' });
  assert.equal((await setting(PROMPT)).value, '2');
  assert.equal((await proposal(3)).bypassed_by, 'ada');

  // A conflict with another person leaves the draft for a decision, and nothing is proposed.
  await edit(COOLDOWN, 'Cooldown minutes', '50');
  const quicker = { reason: 'quicker', changes: [{ key: COOLDOWN, value: 60, version: 2 }] };
  beforeProposing(() => api('PATCH', '/admin/global-settings?emergency=true', quicker));
  await bar.getByRole('button', { name: 'Review and propose' }).click();
  await dialog.getByLabel('Reason').fill('fifty');
  await dialog.getByRole('button', { name: 'Propose 1 change' }).click();
  await dialog.getByRole('group', { name: 'Cooldown minutes' }).getByRole('radio', { name: 'Keep mine' }).check();
  // Few notices are shown at a time: a notice of the change that arrived later would replace the notice of the proposal.
  await banners.getByText('ben changed Cooldown minutes').waitFor();
  await dialog.getByRole('button', { name: 'Continue' }).click();
  await dialog.getByRole('button', { name: 'Propose 1 change' }).click();
  await banners.getByText('Proposed as proposal 5').waitFor();
  assert.equal((await proposal(5)).changes[0].version, 3);

  // A page that does not know of the protection yet: the rejection switches to a proposal.
  rewriteSettings((body) => ({ ...body, settings: body.settings.map((entry) => ({ ...entry, approvals: 0 })) }));
  await page.reload();
  await edit(COOLDOWN, 'Cooldown minutes', '55');
  await bar.getByRole('button', { name: 'Review and save' }).click();
  await dialog.getByLabel('Reason').fill('fifty five');
  await dialog.getByRole('button', { name: 'Save 1 change' }).click();
  await dialog.getByText('The change needs approvals. Nothing was changed.').waitFor();
  await dialog.getByRole('button', { name: 'Propose 1 change' }).click();
  await banners.getByText('Proposed as proposal 6').waitFor();
  rewriteSettings(null);

  // The rollback of a protected setting proposes its plan.
  await visit(page, `#/history?key=${COOLDOWN}`);
  await page.getByRole('button', { name: 'Restore this value: version 1 of Cooldown minutes' }).click();
  await dialog.getByText('Cooldown minutes needs 1 approval').waitFor();
  await dialog.getByText('saved as version 4').waitFor();
  await dialog.getByLabel('Reason').fill('as it was');
  await dialog.getByRole('button', { name: 'Propose', exact: true }).click();
  await dialog.waitFor({ state: 'detached' });
  await banners.getByText('Proposed as proposal 7').waitFor();
  assert.deepEqual([(await proposal(7)).changes[0].value, (await proposal(7)).changes[0].version], [30, 3]);

  // An emergency is possible here as well.
  await page.getByRole('button', { name: 'Restore this value: version 1 of Cooldown minutes' }).click();
  await dialog.getByLabel('Reason').fill('users wait too long');
  await dialog.getByRole('button', { name: 'Restore as an emergency…' }).click();
  await page.getByRole('dialog', { name: 'Restore as an emergency?' }).getByRole('button', { name: 'Restore 1 change as an emergency' }).click();
  await banners.getByText('Saved as an emergency, revision 6.').waitFor();
  await dialog.waitFor({ state: 'detached' });
  assert.deepEqual([(await setting(COOLDOWN)).value, (await proposal(8)).bypassed_by], [30, 'ada']);

  // The import proposes as well, and nothing is imported before.
  await visit(page, '#/transfer');
  await page.getByLabel('Or paste a document').fill(JSON.stringify({ format_version: 1, settings: { [COOLDOWN]: 20, [PER_DAY]: 9 } }));
  await page.getByRole('button', { name: 'Preview changes' }).click();
  await page.getByText('Cooldown minutes needs 1 approval').waitFor();
  await page.getByLabel('Reason').fill('from staging');
  await page.getByRole('button', { name: 'Propose 2 settings' }).click();
  await page.getByRole('heading', { name: 'Proposed 2 changes' }).waitFor();
  assert.deepEqual((await proposal(9)).changes.map(({ key, value }) => [key, value]), [[COOLDOWN, 20], [PER_DAY, 9]]);
  assert.equal((await setting(PER_DAY)).value, 8);

  // Decisions are told in words, with a link to the proposal.
  await visit(page, '#/history?key=(proposal)');
  const entry = (text) => page.locator('tbody tr').filter({ hasText: text }).first();
  await entry('Edition 1 was approved.').getByRole('link', { name: 'Proposal 1' }).waitFor();
  await entry('Applied as an emergency, without waiting for approvals, as revision').waitFor();
  await entry('Proposed.').waitFor();
});
