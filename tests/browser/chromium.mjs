// A page in the system's Chromium. Console messages are printed, and a failure leaves a screenshot.
import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { chromium } from 'playwright-core';

const { CHROMIUM, SCREENSHOTS } = process.env;

/** Runs `script` with a new page. `options` are those of Playwright's `newPage`. Exits with status 1 after a failure. */
export async function withPage(script, options) {
  const browser = await chromium.launch({
    executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  });
  const page = await browser.newPage(options);
  page.setDefaultTimeout(20_000);
  page.on('console', (message) => console.log(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => console.log(`error: ${error.stack}`));
  const pending = new Set();
  page.on('request', (request) => pending.add(request));
  for (const end of ['requestfinished', 'requestfailed']) page.on(end, (request) => pending.delete(request));
  let hasFailed = false;
  try {
    await script(page);
  } catch (error) {
    hasFailed = true;
    console.log(error);
    for (const request of pending) console.log(`no answer yet: ${request.method()} ${request.url()}`);
    const focused = await page.evaluate(() => document.activeElement?.outerHTML.slice(0, 200)).catch(String);
    console.log(`the focus is on ${focused}`);
    await mkdir(SCREENSHOTS, { recursive: true });
    const path = join(SCREENSHOTS, `${basename(process.argv[1], '.mjs')}.png`);
    await page.screenshot({ path }).then(() => console.log(`screenshot: ${path}`), console.log);
  }
  await browser.close();
  if (hasFailed) process.exit(1);
}
