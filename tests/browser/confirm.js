// Who gets in changes only within minutes of a proof: a password, a password and a code, or a passkey.
// Options: those of browser.js, spki, login, password, stamp (the file with the server's clock: "+6m").
'use strict';
const fs = require('fs');
const { assert, run, visitor } = require('./browser.js');

run(async (options) => {
  const v = await visitor(options);
  const { page } = v;
  const settled = () => page.waitForLoadState('load');
  // The file is replaced: read while it is written, it would be no time at all.
  const later = (minutes) => {
    fs.writeFileSync(`${options.stamp}.new`, `+${minutes}m`);
    fs.renameSync(`${options.stamp}.new`, options.stamp);
  };
  const at = (path) => page.waitForURL((url) => url.pathname === path);
  try {
    const devtools = await v.context.newCDPSession(page);
    await devtools.send('WebAuthn.enable');
    const authenticator = { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true };
    await devtools.send('WebAuthn.addVirtualAuthenticator', { options: { ...authenticator, automaticPresenceSimulation: true } });
    await logIn();
    await byPassword();
    await byPasskey();
    await token();
    return { looked: v.looked };
  } finally {
    await v.end();
  }

  async function logIn() {
    await v.go('/login');
    await page.fill('input[name=login]', options.login);
    await page.fill('input[name=password]', options.password);
    await page.locator('form[action="/login"] button[type=submit]').click();
    await settled();
  }

  // The form of a new passkey is there only after the proof; what an open browser would send without it changes nothing.
  async function byPassword() {
    later(6);
    await v.go('/account');
    await v.look('account-stale');
    assert((await page.locator('form[action="/account/passkeys"]').count()) === 0, 'no form for a passkey');
    const csrf = await page.locator('input[name=csrf]').first().getAttribute('value');
    const forced = await page.evaluate(async (token) => {
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      const body = new URLSearchParams({ csrf: token, name: 'thief', client_data: '', authenticator_data: '', public_key: '', algorithm: '-7' });
      const answer = await fetch('/account/passkeys', { method: 'POST', headers, body });
      return new URL(answer.url).pathname;
    }, csrf);
    assert(forced === '/account/confirm', 'a forced form leads to the proof:', forced);
    await page.locator('a[href^="/account/confirm"]').click();
    await at('/account/confirm');
    await v.look('confirm');
    await page.fill('input[name=password]', 'a guess');
    await page.locator('form[action="/account/confirm"] button').click();
    await settled();
    await v.shows('none of the passwords');
    await v.look('confirm-wrong');
    await page.fill('input[name=password]', options.password);
    await page.locator('form[action="/account/confirm"] button').click();
    await at('/account');
    const form = page.locator('form[action="/account/passkeys"]');
    await form.locator('input[name=name]').fill('phone');
    await form.locator('button[type=submit]').click();
    await page.locator('ul.codes').waitFor();
  }

  async function byPasskey() {
    later(12);
    await v.go('/account');
    await page.locator('form[action="/account/passkeys/remove"] button').click();
    await at('/account/confirm');
    await v.look('confirm-passkey');
    assert((await page.locator('form[action="/account/confirm"] input[name=code]').count()) === 1, 'with a second step, the password alone is not enough');
    await page.locator('form[action="/account/confirm/passkey"] button').click();
    await at('/account');
    await v.shows('phone');
    await page.locator('form[action="/account/passkeys/remove"] button').click();
    await settled();
    assert((await page.locator('form[action="/account/passkeys/remove"]').count()) === 0, 'the passkey is removed');
  }

  async function token() {
    later(18);
    await v.go('/account/second-step');
    assert(page.url().includes('/account/confirm?next='), 'the page of a secret needs a proof too:', page.url());
    await v.go('/server');
    await page.locator('details:has(form[action="/server/tokens"]) summary').click();
    const form = page.locator('form[action="/server/tokens"]');
    await form.locator('input[name=name]').fill('grafana');
    await form.locator('button[type=submit]').click();
    await at('/account/confirm');
    await page.fill('input[name=password]', options.password);
    await page.locator('form[action="/account/confirm"] button').click();
    await at('/server');
    assert(!(await page.locator('main').innerText()).includes('grafana'), 'no token was made before the proof');
    await page.locator('details:has(form[action="/server/tokens"]) summary').click();
    await form.locator('input[name=name]').fill('grafana');
    await form.locator('button[type=submit]').click();
    await v.shows('grafana');
  }
});
