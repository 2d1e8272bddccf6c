// Mail that attacks its reader, shown on every screen: nothing runs, nothing is fetched, nothing breaks the layout.
// Options: those of browser.js and mail.js, link (a login link), domain.
'use strict';
const { assert, run, visitor, wider } = require('./browser.js');
const { send } = require('./mail.js');

const SCRIPT = '<script>window.pwned=1</script>';
const TEXTS = [
  SCRIPT,
  '"><img src=x onerror=window.pwned=2>',
  "'><svg onload=window.pwned=3>",
  '</title></textarea></style></script><script>window.pwned=4</script>',
  'javascript:window.pwned=5//',
  '{{constructor.constructor("window.pwned=6")()}}',
  '<a href="https://evil.test/" hx-get="https://evil.test/" hx-trigger="load">click</a>',
  '<iframe src="https://evil.test/"></iframe><link rel=stylesheet href="https://evil.test/x.css">',
  '<form action="https://evil.test/"><input name=csrf></form>',
  '\u202Egnp.exe\u202C \u2066isolate',
  'x'.repeat(900),
  'ﷺ'.repeat(60),
  `Z${'\u0335\u0336\u0337\u0338\u0321\u0322'.repeat(60)}algo`,
  '&lt;b&gt;&amp;amp; \u0000\u0001\u001b[2J',
];

const SCREENS = ['/', '/mail', '/mail?show=refused', '/mail?show=held', '/held', '/queue', '/aliases', '/people', '/setup', '/reports', '/server'];

// An encoded word of RFC 2047, which the page decodes.
const encoded = (text) => Buffer.from(text).toString('base64').match(/.{1,40}/g).map((part) => `=?utf-8?b?${part}?=`).join('\r\n ');

function message(text, author) {
  return [
    `From: ${encoded(text)} <${author}>`,
    `To: ${encoded(text)} <me@example.test>`,
    `Subject: ${encoded(text)}`,
    `Message-ID: <${text.replace(/[^\x21-\x7e]/g, '?').replace(/[<>@ ]/g, '').slice(0, 60) || 'x'}@evil.test>`,
    '', text.replace(/[\0-\x1f]/g, ' ').slice(0, 500), '',
  ].join('\r\n');
}

run(async (options) => {
  const v = await visitor(options);
  const { page } = v;
  try {
    for (const text of TEXTS) {
      await send(options, { from: 'her@list.test', to: `me@${options.domain}`, raw: message(text, 'her@list.test') });
      await send(options, { from: 'her@list.test', to: `me@${options.domain}`, raw: message(text, 'boss@lax.test') });
      await send(options, { from: 'her@list.test', to: `refused@${options.domain}`, raw: message(text, 'her@list.test') });
    }
    for (const local of ['"<script>window.pwned=7</script>"', '"><img/src=x/onerror=window.pwned=8>"', "a'onmouseover='window.pwned=9"]) {
      await send(options, { from: 'her@list.test', to: `${local}@${options.domain}`, raw: message('x', 'her@list.test') });
    }
    await v.go(new URL(options.link).pathname);
    await page.locator('main form button[type=submit]').click();
    await page.waitForLoadState('load');
    const links = new Set();
    for (const screen of SCREENS) {
      await harmless(await v.go(screen), screen);
      for (const to of await page.locator('main a[href^="/"]').evaluateAll((all) => all.map((a) => a.getAttribute('href')))) links.add(to);
    }
    const messages = [...links].filter((to) => to.startsWith('/mail/')).slice(0, 40);
    assert(messages.length >= 10, 'messages are linked:', [...links].join(' '));
    // A zone file is a download, not a screen.
    const others = [...links].filter((to) => !/^\/(mail|setup\/zone)\b/.test(to) && !SCREENS.includes(to)).slice(0, 30);
    for (const to of [...messages, ...others]) await harmless(await v.go(to), to);
    for (const text of TEXTS.slice(0, 6)) await harmless(await v.go(`/mail?q=${encodeURIComponent(text)}`), `/mail?q=${text}`);
    await harmless(await v.go(`/${encodeURIComponent(SCRIPT)}`), 'an unknown path');
    return { screens: SCREENS.length + messages.length + others.length };
  } finally {
    await v.end();
  }

  async function harmless(answer, screen) {
    const headers = answer.headers();
    const policy = headers['content-security-policy'] || '';
    for (const part of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"]) {
      if (!policy.includes(part)) v.wrong.push(`${screen}: the policy lacks ${part}: ${policy}`);
    }
    if (/unsafe-(inline|eval)/.test(policy)) v.wrong.push(`${screen}: ${policy}`);
    const found = await page.evaluate(() => ({
      pwned: window.pwned,
      elements: [...document.querySelectorAll('script:not([src^="/assets/"]), img, iframe, object, embed, base, style, link[rel=stylesheet]:not([href^="/assets/"])')].map((e) => e.outerHTML.slice(0, 200)),
      handlers: [...document.querySelectorAll('*')].filter((e) => [...e.attributes].some((a) => /^on/i.test(a.name))).map((e) => e.outerHTML.slice(0, 200)),
      foreign: [...document.querySelectorAll('main [href], main [src], main [action], main [hx-get]')]
        .map((e) => e.getAttribute('href') || e.getAttribute('src') || e.getAttribute('action') || e.getAttribute('hx-get'))
        .filter((to) => /^\s*(javascript|data|vbscript):/i.test(to) || /evil\.test/.test(new URL(to, location).host)),
    }));
    found.wide = await page.evaluate(wider);
    for (const [what, value] of Object.entries(found)) {
      const isBad = Array.isArray(value) ? value.length > 0 : value !== undefined && value !== null;
      if (isBad) v.wrong.push(`${screen}: ${what}: ${JSON.stringify(value)}`);
    }
  }
});
