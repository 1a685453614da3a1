// A page in the system's Chromium. What the page says on its console is passed on, and a picture of it is kept when a
// script fails.
import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { chromium } from 'playwright-core';

const { CHROMIUM, PICTURES } = process.env;

/** Runs `script` with a page of its own, made with `options`; one that fails ends the process. */
export async function withPage(script, options) {
  const browser = await chromium.launch({
    executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  });
  const page = await browser.newPage(options);
  page.setDefaultTimeout(20_000);
  page.on('console', (message) => console.log(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => console.log(`error: ${error.stack}`));
  let failed = false;
  try {
    await script(page);
  } catch (error) {
    failed = true;
    console.log(error);
    await mkdir(PICTURES, { recursive: true });
    const path = join(PICTURES, `${basename(process.argv[1], '.mjs')}.png`);
    await page.screenshot({ path }).then(() => console.log(`a picture of it: ${path}`), console.log);
  }
  await browser.close();
  if (failed) process.exit(1);
}
