// Chromium for the tests of the page: one visitor, whose every screen is looked at in light and dark, judged by axe-core, and searched for what must not
// happen (scripts of others, errors, overflow).
'use strict';
const fs = require('fs');
const path = require('path');
const modules = path.join(__dirname, '../node/node_modules');
const { chromium } = require(path.join(modules, 'playwright-core'));
const axe = fs.readFileSync(path.join(modules, 'axe-core/axe.min.js'), 'utf8');

const EXECUTABLE = process.env.CHROMIUM || '/usr/bin/chromium';
const WAIT_MS = 15000;

// The screens whose pictures are kept.
const SHOWN = ['today', 'mail', 'message', 'held', 'setup'];

function assert(condition, ...words) {
  if (!condition) throw new Error(words.join(' '));
}

// Runs in the page: how much it is wider than the window, and by which elements; null if it is not.
function wider() {
  const px = document.documentElement.scrollWidth - window.innerWidth;
  if (px <= 0) return null;
  const scrolls = (e) => e && e !== document.body && (/auto|scroll|hidden|clip/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
  const out = [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > window.innerWidth && !scrolls(e.parentElement));
  return `${px} px wider than the window: ${out.slice(-3).map((e) => e.outerHTML.slice(0, 160)).join(' | ')}`;
}

// Runs in the page: shows the directory of the test as that of an installed server.
function installed(lab) {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const { currentNode: node } = texts;
    const text = node.data.replaceAll(`${lab}/data`, '/var/lib/waypost').replaceAll(lab, '/etc/waypost');
    if (text !== node.data) node.data = text;
  }
}

// The key of a certificate that is trusted as if an authority had signed it.
function trusted({ spki }) {
  return spki ? [`--ignore-certificate-errors-spki-list=${spki}`] : [];
}

// options: host (name of the server), address, port, width, height, scripts (false turns JavaScript off), shots (directory of screenshots, or null),
// locale, every (pictures of all screens), hosts ({ name: address } of others), lab (the directory of the test), spki (the SHA-256 of the server's public key, to trust its certificate).
async function visitor(options) {
  const { host, address, width = 1280, height = 900 } = options;
  const browser = await chromium.launch({
    executablePath: EXECUTABLE,
    // The sandbox needs user namespaces, which root in a container may lack; --disable-quic and the rules keep the browser on this machine.
    args: ['--no-sandbox', '--disable-quic', `--host-resolver-rules=MAP ${host} ${address}, MAP * ~NOTFOUND`, ...trusted(options)],
  });
  const context = await browser.newContext({
    viewport: { width, height },
    // A certificate that no authority has signed, as after the first setup.
    ignoreHTTPSErrors: !options.spki,
    javaScriptEnabled: options.scripts !== false,
    locale: options.locale || 'en-GB',
    timezoneId: 'Europe/Berlin',
    deviceScaleFactor: options.shots && width < 600 ? 2 : 1,
    reducedMotion: 'reduce',
  });
  context.setDefaultTimeout(WAIT_MS);
  const page = await context.newPage();
  return new Visitor(options, browser, context, page);
}

class Visitor {
  constructor(options, browser, context, page) {
    Object.assign(this, { options, browser, context, page });
    this.base = `https://${options.host}:${options.port}`;
    this.wrong = [];
    this.looked = [];
    const note = (what) => this.wrong.push(`${page.url()}: ${what}`);
    page.on('pageerror', (error) => note(`script error: ${error.message}`));
    page.on('dialog', (dialog) => { note(`dialog: ${dialog.message()}`); dialog.dismiss(); });
    page.on('console', (message) => {
      // Chromium reports each 4xx as an error of its own.
      if (message.type() === 'error' && !/status of 4\d\d/.test(message.text())) note(`console: ${message.text()}`);
    });
    page.on('request', (request) => {
      const url = new URL(request.url());
      if (!['data:', 'blob:'].includes(url.protocol) && url.host !== `${options.host}:${options.port}`) note(`request to ${request.url()}`);
    });
    context.on('page', (other) => { if (other !== page) note('another window was opened'); });
  }

  async go(to) {
    const answer = await this.page.goto(this.base + to, { waitUntil: 'load' });
    return answer;
  }

  // Looks at the screen in both themes: nothing wider than the window, no serious finding of axe, a screenshot.
  async look(name) {
    const { page, options } = this;
    for (const scheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
      const wide = await page.evaluate(wider);
      if (wide) this.wrong.push(`${name} ${scheme}: ${wide}`);
      if (options.scripts !== false) {
        await page.evaluate(axe);
        const result = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
        for (const { id, impact, help, nodes } of result.violations) {
          if (['serious', 'critical'].includes(impact)) {
            const where = nodes.slice(0, 3).map((node) => `${node.target.join(' ')}: ${(node.any[0] || node.all[0] || node.none[0] || {}).message || ''}`);
            this.wrong.push(`${name} ${scheme}: axe ${impact} ${id} (${help}): ${where.join('; ')}`);
          }
        }
      }
      if (options.shots && (options.every || SHOWN.includes(name))) {
        if (options.lab) await page.evaluate(installed, options.lab);
        const file = `${name}-${options.width}-${scheme}${options.locale === 'zh-CN' ? '-zh' : ''}.png`;
        await page.screenshot({ path: path.join(options.shots, file), fullPage: Boolean(options.whole) });
      }
    }
    this.looked.push(name);
  }

  // The visible text of the content.
  async text() {
    return this.page.locator('body').innerText();
  }

  async shows(text) {
    await this.page.getByText(text).first().waitFor();
  }

  async end() {
    await this.browser.close();
    assert(this.wrong.length === 0, `\n${this.wrong.join('\n')}`);
  }
}

// Runs a script with its options, a JSON object in the first argument; prints what it returns.
function run(script) {
  const options = JSON.parse(process.argv[2]);
  script(options).then(
    (result) => { console.log(JSON.stringify(result ?? {})); process.exit(0); },
    (error) => { console.error(error.stack || error); process.exit(1); },
  );
}

module.exports = { assert, axe, modules, run, visitor, wider };
