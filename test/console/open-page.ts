import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';

/** For each wait in the page: a cold function on a busy machine takes its time. */
const WAIT_MS = 60_000;

/**
 * Opens a page of the console. At the end of the test it is closed, and nothing may have gone wrong in it: no error, no
 * complaint of the browser, such as one about the Content-Security-Policy, and no request to anybody else.
 */
export async function openPage(
  t: TestContext,
  { browser, url, ...options }: { browser: Browser; url: string } & BrowserContextOptions,
): Promise<Page> {
  const context = await browser.newContext({ locale: 'en-GB', timezoneId: 'UTC', ...options });
  context.setDefaultTimeout(WAIT_MS);
  const page = await context.newPage();
  const faults: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') faults.push(message.text());
  });
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('request', (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith('data:')) faults.push(`asked ${request.url()}`);
  });
  t.after(async () => {
    await context.close();
    assert.deepEqual(faults, []);
  });
  await page.goto(url);
  return page;
}
