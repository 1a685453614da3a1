// A catalog without sessions: no page of them, no word of them, and no request for them.
import assert from 'node:assert/strict';
import { enter, journey, visit } from './console.mjs';

await journey(async (page) => {
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  await enter(page);
  await page.getByText('mcp-gateway').first().waitFor();
  const speaks = async (where) => {
    const text = await page.locator('body').innerText();
    assert.ok(!/session/i.test(text), `${where}: ${text.match(/.*session.*/i)?.[0]}`);
  };
  await page.getByRole('heading', { name: 'Settings', exact: true }).waitFor();
  await page.getByText('revision 1').waitFor();
  await speaks('settings');
  const filters = await page.locator('select[name=show] option').allInnerTexts();
  assert.ok(!filters.some((it) => /session/i.test(it)), filters.join());
  await visit(page, '#/fleet');
  await page.getByText('up to date').first().waitFor();
  await speaks('fleet');
  await visit(page, '#/sessions');
  await page.getByRole('heading', { name: 'Page not found' }).waitFor();
  assert.deepEqual(asked.filter((it) => /\/sessions/.test(it)), []);
});
