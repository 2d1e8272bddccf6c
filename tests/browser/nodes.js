// The nodes of a shared database on the screen of the server. Options: those of browser.js, login, password, node (the node that is drained and resumed).
'use strict';
const { assert, run, visitor } = require('./browser.js');

run(async (options) => {
  const v = await visitor({ ...options, whole: true, every: true });
  const { page } = v;
  const button = (change) =>
    page.locator('#nodes form').filter({ has: page.locator(`input[name=name][value="${options.node}"]`) })
      .filter({ has: page.locator(`input[name=change][value=${change}]`) }).locator('button');
  try {
    await v.go('/login');
    await page.fill('input[name=login]', options.login);
    await page.fill('input[name=password]', options.password);
    await page.locator('form[action="/login"] button[type=submit]').click();
    await page.waitForURL((url) => !url.pathname.startsWith('/login'));
    await v.go('/server');
    assert((await page.locator('#nodes tbody tr').count()) === 3, 'all nodes are shown');
    await v.look('nodes');
    await button('drain').click();
    await button('resume').waitFor();
    await v.look('nodes-drained');
    await button('resume').click();
    await button('drain').waitFor();
    await v.go('/setup');
    const shown = await page.locator('body').evaluate((body) => body.textContent);
    for (const host of ['mx', 'mx2']) assert(shown.includes(`10 ${host}.example.test.`), `the record of ${host} is shown`);
    if (options.scripts !== false) await page.evaluate(() => document.querySelectorAll('details').forEach((one) => { one.open = true; }));
    await v.look('setup-of-two');
    if (options.scripts !== false) assert(!(await page.evaluate(() => window.pwned)), 'nothing of a name was run');
    return { looked: v.looked };
  } finally {
    await v.end();
  }
});
