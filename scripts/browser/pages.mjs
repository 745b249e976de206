// Opens the pages of a running evcsd in Chromium, without any network but
// evcsd's own, and uses them as a reader of the documents would.
//   node pages.mjs REST_URL DEVICE_URL TOKEN FOLDER_FOR_SCREENSHOTS
import assert from 'node:assert/strict';
import path from 'node:path';
import {chromium} from 'playwright-core';

const [rest, device, token, folder] = process.argv.slice(2);
const patience = 120_000; // the whole document takes a browser seconds, on a busy machine many

const browser = await chromium.launch({
  executablePath: process.env.EVCS_TEST_CHROMIUM || '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

// page opens a page that may only reach its own origin and notes everything
// that is wrong with it.
async function page(url) {
  const context = await browser.newContext({viewport: {width: 1400, height: 1000}, locale: 'zh-CN'});
  const tab = await context.newPage();
  tab.setDefaultTimeout(patience);
  const wrong = [];
  const own = new URL(url).origin;
  await context.route('**/*', (route) => {
    const asked = new URL(route.request().url());
    if (asked.origin === own || asked.protocol === 'data:' || asked.protocol === 'blob:') return route.continue();
    wrong.push(`asks ${asked} outside`);
    return route.abort();
  });
  tab.on('console', (m) => { if (m.type() === 'error' || /Content Security Policy/.test(m.text())) wrong.push(`console: ${m.text()}`); });
  tab.on('pageerror', (e) => wrong.push(`error: ${e}`));
  tab.on('response', (r) => { if (r.status() >= 400) wrong.push(`${r.status()} ${r.url()}`); });
  const answer = await tab.goto(url);
  assert.equal(answer.status(), 200, url);
  const policy = answer.headers()['content-security-policy'];
  assert.ok(policy && !policy.includes('unsafe'), `the policy of ${url}: ${policy}`);
  return {tab, wrong, done: async (name) => {
    await tab.screenshot({path: path.join(folder, name), fullPage: false});
    assert.deepEqual(wrong, [], url);
    await context.close();
  }};
}

// the page of the REST listener: choose a group, sign in, execute
{
  const {tab, done} = await page(`${rest}/swagger-ui.html`);
  const choice = tab.locator('.topbar select');
  await choice.waitFor().catch(async (e) => { await done('swagger-ui.png'); throw e; });
  const groups = await choice.locator('option').allTextContents();
  assert.ok(groups.includes('auth') && groups.includes('payment') && groups.length > 5, `groups: ${groups}`);
  const begun = Date.now();
  await tab.locator('#operations-tag-station').waitFor(); // everything first
  console.log(`the whole document is shown after ${Date.now() - begun} ms`);
  await choice.selectOption({label: 'auth'});
  const operation = tab.locator('.opblock', {has: tab.locator('[data-path="/api/auth/userinfo"]')});
  await operation.waitFor();
  await tab.locator('#operations-tag-station').waitFor({state: 'detached'});

  await tab.locator('button.btn.authorize').first().click();
  const dialog = tab.locator('.dialog-ux');
  const bearer = dialog.locator('.auth-container', {hasText: /^bearerAuth/});
  await bearer.locator('input').fill(token);
  await bearer.locator('button.authorize').click();
  await bearer.locator('button:has-text("Logout")').waitFor();
  await dialog.locator('.close-modal').click();

  await operation.locator('.opblock-summary-control').click();
  await operation.locator('button.try-out__btn').click();
  await operation.locator('button.execute').click();
  const live = operation.locator('.live-responses-table .response').first();
  await live.waitFor();
  const status = (await live.locator('.response-col_status').innerText()).trim();
  const shown = await live.locator('.response-col_description').innerText();
  await live.scrollIntoViewIfNeeded();
  await done('swagger-ui.png').catch((e) => { console.error(`status ${status}\n${shown}`); throw e; });
  assert.match(status, /^200/, shown);
  assert.match(shown, /"code": 200/);
  assert.match(shown, /"identifier": "admin@tenant1"|"username": "admin"/);
  console.log(`${rest}/swagger-ui.html: groups ${groups.join(', ')}; GET /api/auth/userinfo ${status}`);
}

// the page of the device listener: the group protocol
{
  const {tab, done} = await page(`${device}/swagger-ui.html`);
  const heartbeat = tab.locator('.opblock', {has: tab.locator('[data-path="/api/cloudcharge/heartbeat"]')});
  await heartbeat.waitFor();
  assert.equal(await tab.locator('[data-path="/api/auth/userinfo"]').count(), 0, 'the device listener documents what it does not serve');
  await heartbeat.locator('.opblock-summary-control').click();
  await heartbeat.locator('.responses-wrapper').waitFor();
  await done('swagger-ui-device.png');
  console.log(`${device}/swagger-ui.html: ${await tab.title().catch(() => 'closed')}`);
}
await browser.close();
