// Passkeys with Chromium's virtual authenticator: added, used as second step and as only step; what a thief would send is refused.
// Options: those of browser.js, spki (the server's key, which the browser then trusts: passkeys need a certificate without errors), login, password.
'use strict';
const crypto = require('crypto');
const { assert, run, visitor } = require('./browser.js');

const encoded = (octets) => Buffer.from(octets).toString('base64url');

run(async (options) => {
  const v = await visitor(options);
  const { page } = v;
  const settled = () => page.waitForLoadState('load');
  try {
    const devtools = await v.context.newCDPSession(page);
    await devtools.send('WebAuthn.enable');
    const authenticator = { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true };
    const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', { options: authenticator });
    await add();
    await secondStep();
    const sent = await alone();
    await replayed(sent);
    const [device] = (await devtools.send('WebAuthn.getCredentials', { authenticatorId })).credentials;
    await forged(device);
    await copied(device);
    await refusedByTheVisitor(devtools, authenticatorId);
    await remove();
    return { looked: v.looked };
  } finally {
    await v.end();
  }

  async function password() {
    await v.go('/login');
    await page.fill('input[name=login]', options.login);
    await page.fill('input[name=password]', options.password);
    await page.locator('form[action="/login"] button[type=submit]').click();
    await settled();
  }

  async function logOut() {
    await page.locator('form[action="/logout"] button').first().click();
    await page.waitForURL(/\/login/);
  }

  async function add() {
    await password();
    await v.go('/account');
    await v.look('account');
    const form = page.locator('form[action="/account/passkeys"]');
    await form.locator('input[name=name]').fill('phone <b>');
    await form.locator('button[type=submit]').click();
    await page.locator('ul.codes').waitFor();
    assert((await page.locator('ul.codes li').count()) === 10, 'the first passkey makes recovery codes');
    await v.look('passkey-added');
    await v.go('/account');
    await v.shows('phone <b>');
    await v.look('account-passkeys');
    // The same device again: its answer is that it has one.
    await form.locator('input[name=name]').fill('again');
    await form.locator('button[type=submit]').click();
    await page.locator('[data-passkey-fault]:visible').waitFor();
    await logOut();
  }

  async function secondStep() {
    await password();
    assert(page.url().endsWith('/login/code'), 'the password alone is not enough:', page.url());
    await v.look('passkey-second');
    await page.locator('form[action="/login/code/passkey"] button[type=submit]').click();
    await page.waitForURL((url) => !url.pathname.startsWith('/login'));
    await logOut();
  }

  // Returns the form that has logged in.
  async function alone() {
    await v.look('passkey-login');
    const request = page.waitForRequest((one) => one.method() === 'POST' && one.url().endsWith('/login/passkey'));
    await page.locator('form[action="/login/passkey"] button[type=submit]').click();
    const sent = (await request).postData();
    await page.waitForURL((url) => !url.pathname.startsWith('/login'));
    await v.go('/account');
    const cells = await page.locator('main').innerText();
    assert(!cells.includes('not yet'), 'the last use is shown:', cells);
    await logOut();
    return sent;
  }

  // Sends a form as a page of this server, whatever is in it.
  async function post(fields) {
    return page.evaluate(async (body) => {
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      const answer = await fetch('/login/passkey', { method: 'POST', headers, body, redirect: 'manual' });
      return { status: answer.status, text: await answer.text() };
    }, fields);
  }

  async function replayed(sent) {
    const { status, text } = await post(sent);
    assert(status === 403 && text.includes('used before'), 'a second use of the same answer:', status, text);
  }

  // Signs with the key of the device, as somebody who has copied it could.
  async function answerOf(device, { origin = v.base, site = options.host, counter, flags = 0x05 }) {
    await v.go('/login');
    const challenge = await page.locator('form[data-passkey]').getAttribute('data-challenge');
    const client = Buffer.from(JSON.stringify({ type: 'webauthn.get', challenge, origin, crossOrigin: false }));
    const data = Buffer.concat([crypto.createHash('sha256').update(site).digest(), Buffer.from([flags, 0, 0, 0, 0])]);
    data.writeUInt32BE(counter, 33);
    const key = crypto.createPrivateKey({ key: Buffer.from(device.privateKey, 'base64'), format: 'der', type: 'pkcs8' });
    const signature = crypto.sign('sha256', Buffer.concat([data, crypto.createHash('sha256').update(client).digest()]), key);
    const id = encoded(Buffer.from(device.credentialId, 'base64'));
    return new URLSearchParams({ id, client_data: encoded(client), authenticator_data: encoded(data), signature: encoded(signature), next: '/' }).toString();
  }

  async function forged(device) {
    const next = device.signCount + 1;
    for (const wrong of [{ origin: 'https://evil.test' }, { site: 'evil.test' }, { flags: 0x01 }, { flags: 0x04 }]) {
      const { status, text } = await post(await answerOf(device, { counter: next, ...wrong }));
      assert(status === 403 && text.includes('not accepted'), JSON.stringify(wrong), status, text);
    }
  }

  async function copied(device) {
    const { status, text } = await post(await answerOf(device, { counter: 1 }));
    assert(status === 403 && text.includes('have a copy'), 'a counter that goes back:', status, text);
  }

  async function refusedByTheVisitor(devtools, authenticatorId) {
    await devtools.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false });
    await v.go('/login');
    await page.locator('form[action="/login/passkey"] button[type=submit]').click();
    await page.locator('[data-passkey-fault]:visible').waitFor();
    await devtools.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: true });
    await page.locator('form[action="/login/passkey"] button[type=submit]').click();
    await page.waitForURL((url) => !url.pathname.startsWith('/login'));
  }

  async function remove() {
    await v.go('/account');
    await page.locator('form[action="/account/passkeys/remove"] button').click();
    await settled();
    assert((await page.locator('form[action="/account/passkeys/remove"]').count()) === 0, 'the passkey is removed');
    await logOut();
    await password();
    assert(!page.url().includes('/login'), 'without a passkey, the password is enough again:', page.url());
  }
});
