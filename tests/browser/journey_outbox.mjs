// The outbox: a failed message, its payload, a retry, filters, and the link to a message.
import assert from 'node:assert/strict';
import { accessible, api, change, enter, journey, visit } from './console.mjs';

await journey(async (page) => {
  await enter(page, '#/fleet');
  await page.getByText('No failed messages').waitFor({ state: 'hidden' });
  await change({ BRUNE_COOLDOWN_MINUTES: 45 });

  // The page shows the failure without a reload.
  const failedMessages = page.getByRole('table', { name: 'Failed messages' });
  const row = failedMessages.locator('tbody tr');
  await row.getByText('failed', { exact: true }).waitFor();
  const { messages: [message] } = await api('GET', '/admin/outbox');
  assert.equal(message.status, 'dead');
  await row.getByText('Payload').click();
  await row.getByText('BRUNE_COOLDOWN_MINUTES').first().waitFor();
  const sinks = page.getByRole('table', { name: 'Sinks' });
  await sinks.getByRole('rowheader', { name: message.sink }).waitFor();
  const { serious } = await accessible(page, 'outbox');
  assert.deepEqual(serious, []);

  // A retried message stays in the list until the page is left. The focus stays in its row.
  const retry = row.getByRole('button', { name: `Retry ${message.topic}` });
  await retry.focus();
  await page.keyboard.press('Enter');
  await page.getByText(`Retrying delivery to ${message.sink}`).waitFor();
  await row.getByText('delivered', { exact: true }).waitFor();
  assert.ok(await row.evaluate((element) => element.contains(document.activeElement)));
  assert.equal(await row.locator('details').evaluate((element) => element.open), true);

  const allMessages = page.getByRole('table', { name: 'Messages, newest first' });
  await page.getByLabel('Status').selectOption('waiting');
  await page.getByText('No matching messages').waitFor();
  await page.getByLabel('Status').selectOption('delivered');
  await allMessages.getByText(message.id).waitFor();

  await visit(page, `#/fleet?message=${message.id}`);
  await allMessages.getByText('linked').waitFor();
  await page.waitForFunction((id) => document.activeElement.dataset.id?.startsWith(id), message.id);
  await visit(page, '#/fleet?message=00000000-0000-0000-0000-000000000000');
  await page.getByText('is not among the newest messages').waitFor();
});
