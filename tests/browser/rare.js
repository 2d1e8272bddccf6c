// The screens that few see. Options: those of browser.js, login, password, invited (the link of an invitation).
'use strict';
const { assert, run, visitor } = require('./browser.js');

run(async (options) => {
  const v = await visitor({ ...options, whole: true, every: true });
  const { page } = v;
  try {
    await v.go('/login');
    await page.fill('input[name=login]', options.login);
    await page.fill('input[name=password]', 'wrong');
    await page.locator('form[action="/login"] button[type=submit]').click();
    await v.look('login-wrong');
    await v.go(new URL(options.invited).pathname);
    await v.look('invitation');
    await v.go('/login');
    await page.fill('input[name=login]', options.login);
    await page.fill('input[name=password]', options.password);
    await page.locator('form[action="/login"] button[type=submit]').click();
    await page.waitForURL((url) => !url.pathname.startsWith('/login'));
    await v.go('/reports');
    await v.look('reports');
    const one = page.locator('a[href^="/reports/"]').first();
    assert(await one.isVisible(), 'a report has a page of its own');
    await one.click();
    await page.waitForURL(/\/reports\/\d+/);
    await v.look('report');
    for (const screen of ['server', 'account', 'account/second-step', 'queue', 'people', 'people/you@example.test', 'setup', 'no/such/page']) {
      await v.go(`/${screen}`);
      await page.evaluate(() => document.querySelectorAll('main details').forEach((closed) => { closed.open = true; }));
      await v.look(screen.replaceAll(/[^a-z]+/g, '-'));
    }
    await v.go('/server');
    const form = page.locator('form[action="/server/tokens"]');
    if (!(await form.isVisible())) await page.locator('details:has(form[action="/server/tokens"]) > summary').click();
    await form.locator('input[name=name]').fill(`phone-${options.width}-${options.locale}`);
    await form.locator('button[type=submit]').click();
    await page.getByText(/wpt_/).first().waitFor();
    await v.look('token-made');
    return { looked: v.looked };
  } finally {
    await v.end();
  }
});
