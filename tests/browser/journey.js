// What a new owner does: log in by a link, set up a domain, an address and a password; mail comes, is held, is released; an alias is disabled.
// Options: those of browser.js and mail.js, link (a login link), whole (whole pages in screenshots), own (whether scripts are on).
'use strict';
const { assert, run, visitor } = require('./browser.js');
const { send } = require('./mail.js');

const SCREENS = ['/', '/mail', '/held', '/queue', '/aliases', '/people', '/setup', '/reports', '/server'];

run(async (options) => {
  const v = await visitor(options);
  const { page } = v;
  const press = (form, name) => page.locator(`form[action="${form}"] button[type=submit]`).filter(name ? { hasText: name } : {}).first().click();
  const settled = () => page.waitForLoadState('load');
  try {
    await entrance();
    await wizard();
    await aliases();
    const id = await mailArrives();
    await held();
    await disabled();
    for (const screen of SCREENS) {
      await v.go(screen);
      await v.look(screen === '/' ? 'today' : screen.slice(1));
    }
    await logOut();
    return { id, looked: v.looked };
  } finally {
    await v.end();
  }

  async function entrance() {
    const answer = await v.go('/mail');
    assert(page.url().includes('/login') || [401, 403].includes(answer.status()), 'a stranger is not let in:', page.url(), answer.status());
    await v.look('login');
    const link = new URL(options.link);
    await v.go(link.pathname);
    await v.look('link');
    await page.locator(`form[action="${link.pathname}"] button[type=submit]`).click();
    await settled();
    const cookies = await v.context.cookies();
    const session = cookies.find((cookie) => cookie.name === '__Host-waypost');
    assert(session && session.httpOnly && session.secure && session.sameSite === 'Strict', 'the session cookie:', JSON.stringify(cookies));
    const again = await v.go(link.pathname);
    assert(again.status() >= 400, 'a link works once:', again.status());
  }

  async function wizard() {
    await v.go('/welcome');
    await v.look('welcome');
    await page.fill('input[name=domain]', options.domain);
    await press('/welcome/domain');
    await page.locator('form[action="/welcome/alias"]').waitFor();
    await page.fill('input[name=local]', 'me');
    await page.fill('input[name=target]', options.target);
    await v.look('welcome-alias');
    await press('/welcome/alias');
    await page.locator('form[action="/welcome/account"]').waitFor();
    await v.look('welcome-account');
    await press('/welcome/account');
    await settled();
    await v.look('welcome-password');
    await v.go('/setup');
    await v.shows(options.domain);
    const text = await v.text();
    for (const record of ['MX', 'v=spf1', 'v=DMARC1', '_domainkey']) assert(text.includes(record), 'the records have', record, 'in:', text);
  }

  async function aliases() {
    await v.go('/aliases');
    const form = page.locator('form[method=post][action="/aliases"]');
    if (!(await form.isVisible())) await page.locator('details:has(form[method=post][action="/aliases"]) > summary').click();
    await form.locator('input[name=address]').fill('shop');
    await form.locator('input[name=targets]').fill(options.target);
    await form.locator('input[name=note]').fill('for the corner shop');
    await form.locator('button[type=submit]').click();
    await page.waitForURL(/\/aliases\/shop/);
    await v.look('alias');
    assert((await page.locator('input[name=note]').inputValue()) === 'for the corner shop', 'the note is kept');
  }

  // The list shows a message without being loaded again; without scripts it is loaded again.
  async function mailArrives() {
    await v.go('/mail');
    const reply = await send(options, { from: 'her@list.test', to: `shop@${options.domain}`, subject: 'an invoice' });
    assert(reply.startsWith('250 '), reply);
    const row = page.locator('#mail-list').getByText('her@list.test').first();
    if (options.scripts === false) {
      for (let tries = 0; tries < 50 && !(await row.isVisible()); tries += 1) await v.go('/mail');
    }
    await row.waitFor();
    await page.locator('#mail-list a[href^="/mail/"]').first().click();
    await page.waitForURL(/\/mail\/[0-9a-z]{13}/);
    const delivered = page.locator('#message').getByText(options.target).first();
    for (let tries = 0; options.scripts === false && tries < 50 && !(await delivered.isVisible()); tries += 1) await page.reload();
    await delivered.waitFor();
    await v.look('message');
    return page.url().split('/').pop();
  }

  async function held() {
    const reply = await send(options, { from: 'someone@list.test', author: 'The Boss <boss@lax.test>', to: `me@${options.domain}`, subject: 'urgent transfer' });
    assert(reply.startsWith('250 '), reply);
    await v.go('/held');
    await v.shows('urgent transfer');
    await v.look('held');
    await page.locator('form[action^="/held/"][action$="/release"]:not(:has(input[name=wrapped])) button').first().click();
    await settled();
    const waits = () => page.locator('#held').getByText('urgent transfer').isVisible();
    assert(!(await waits()), 'the message is released');
  }

  async function disabled() {
    await v.go(`/aliases/shop@${options.domain}`);
    await page.locator('form[action$="/enabled"] button').first().click();
    await settled();
    const reply = await send(options, { from: 'her@list.test', to: `shop@${options.domain}`, subject: 'one more' });
    assert(reply.startsWith('550 5.2.1'), 'mail to a disabled alias:', reply);
    await v.look('alias-disabled');
    await v.go('/mail?show=refused');
    await v.look('mail-refused');
  }

  async function logOut() {
    await page.locator('form[action="/logout"] button').click();
    await settled();
    await v.go('/mail');
    assert(page.url().includes('/login'), 'the session has ended:', page.url());
  }
});
