// A proposal without a mouse: one person finds, reads and edits the proposal, another person approves and applies the edit.
import assert from 'node:assert/strict';
import { ADMIN, OTHER, api, enter, journey, setting, tabTo } from './console.mjs';

await journey(async (ada) => {
  const { number } = await api('POST', '/admin/proposals', { reason: 'calmer evenings', changes: [{ key: 'BRUNE_COOLDOWN_MINUTES', value: 45, version: 1 }] }, ADMIN);
  await enter(ada);
  const ben = await ada.context().browser().newPage();
  await enter(ben, '#/settings', OTHER);
  const press = async (page, ...keys) => { for (const key of keys) await page.keyboard.press(key); };
  const activate = async (page, locator) => {
    await locator.waitFor();
    await tabTo(page, locator);
    await press(page, 'Enter');
  };

  // Ada finds her proposal in the list of the open ones, and edits the value and the time.
  await press(ada, 'g', 'p');
  await ada.getByRole('heading', { level: 1, name: 'Proposals' }).waitFor();
  await ada.getByText('Nothing waits for you').waitFor();
  await activate(ada, ada.getByRole('navigation', { name: 'Lists of proposals' }).getByRole('link', { name: 'Open' }));
  await activate(ada, ada.getByRole('link', { name: `Proposal ${number}`, exact: true }));
  await ada.getByRole('heading', { level: 1, name: `Proposal ${number}` }).waitFor();
  await activate(ada, ada.getByRole('button', { name: 'Edit…' }));
  const dialog = ada.getByRole('dialog');
  await dialog.waitFor();
  await tabTo(ada, dialog.getByRole('spinbutton', { name: 'Cooldown minutes' }));
  await press(ada, 'Control+a');
  await ada.keyboard.type('50');
  await tabTo(ada, dialog.getByLabel('After proposal'));
  await ada.keyboard.type('99');
  await press(ada, 'Control+Enter');
  // The error of the service is shown at its field, which takes the focus.
  await dialog.getByText('Must be').waitFor();
  const afterField = await dialog.getByLabel('After proposal').elementHandle();
  await ada.waitForFunction((element) => element === document.activeElement, afterField);
  await press(ada, 'Control+a', 'Delete', 'Control+Enter');
  await dialog.waitFor({ state: 'detached' });
  await ada.getByText(`Wrote edition 2 of proposal ${number}.`).waitFor();
  await ada.waitForFunction(() => document.activeElement.textContent === 'Edit…');

  // Ben approves and applies in one step. The focus stays in the state of the proposal.
  await press(ben, 'g', 'p');
  await activate(ben, ben.getByRole('link', { name: `Proposal ${number}`, exact: true }));
  await activate(ben, ben.getByRole('button', { name: 'Approve and apply…' }));
  const approval = ben.getByRole('dialog');
  await approval.getByLabel('Note').waitFor();
  await ben.keyboard.type('reads well');
  await press(ben, 'Control+Enter');
  await approval.waitFor({ state: 'detached' });
  await ben.getByText('Approved and applied').waitFor();
  await ben.waitForFunction(() => document.activeElement.closest('.status'));
  assert.equal((await setting('BRUNE_COOLDOWN_MINUTES')).value, 50);
  const { verdicts } = await api('GET', `/admin/proposals/${number}`);
  assert.deepEqual(verdicts.map(({ given_by: person, edition, note }) => [person, edition, note]), [['ben', 2, 'reads well']]);

  // An emergency of ben waits for ada, who acknowledges the change.
  const { version } = await setting('BRUNE_COOLDOWN_MINUTES');
  const { proposal: emergency } = await api('PATCH', '/admin/global-settings?emergency=true', { reason: 'users cannot start', changes: [{ key: 'BRUNE_COOLDOWN_MINUTES', value: 0, version }] });
  await press(ada, 'g', 'p');
  await activate(ada, ada.getByRole('link', { name: `Proposal ${emergency}`, exact: true }));
  await activate(ada, ada.getByRole('button', { name: 'Acknowledge…' }));
  await press(ada, 'Control+Enter');
  await ada.getByText('ada has acknowledged the change.').waitFor();
  await ben.close();
});
