// A catalog without sessions: the console has no sessions page, never mentions sessions, and never requests sessions.
import assert from 'node:assert/strict';
import { enter, journey, visit } from './console.mjs';

await journey(async (page) => {
  const urls = [];
  page.on('request', (request) => urls.push(request.url()));
  await enter(page);
  await page.getByText('mcp-gateway').first().waitFor();
  const assertNoSessions = async (view) => {
    const text = await page.locator('body').innerText();
    assert.ok(!/session/i.test(text), `${view}: ${text.match(/.*session.*/i)?.[0]}`);
  };
  await page.getByRole('heading', { name: 'Settings', exact: true }).waitFor();
  await page.getByText('revision 1').waitFor();
  await assertNoSessions('settings');
  const options = await page.locator('select[name=show] option').allInnerTexts();
  assert.ok(options.length > 0);
  assert.ok(!options.some((option) => /session/i.test(option)), options.join());
  await visit(page, '#/fleet');
  await page.getByText('up to date').first().waitFor();
  await assertNoSessions('fleet');
  await visit(page, '#/sessions');
  await page.getByRole('heading', { name: 'Page not found' }).waitFor();
  assert.deepEqual(urls.filter((url) => url.includes('/sessions')), []);
});
