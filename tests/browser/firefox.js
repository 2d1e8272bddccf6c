// Firefox over WebDriver BiDi: every screen of the page at one size, in light and dark: no script error, nothing that the policy blocks, nothing wider than
// the window, no serious finding of axe. Playwright drives only a Firefox of its own, and Debian's has not all that Playwright asks of BiDi.
// Options: those of browser.js that it needs: host, address, port, width, height, link, login, password, shots, lab, screens.
'use strict';
const { spawn } = require('child_process');
const fs = require('fs');
const path = require('path');
const { assert, axe, modules, run, wider } = require('./browser.js');
const { ws: WebSocket } = require(path.join(modules, 'playwright-core/lib/utilsBundle'));

const EXECUTABLE = process.env.FIREFOX || '/usr/bin/firefox-esr';
const WAIT_MS = 20000;

// A profile in which Firefox finds the server's name at its address, connects to nothing else, and is quiet.
function profile(options) {
  const directory = fs.mkdtempSync(path.join(options.lab, 'firefox-'));
  const settings = {
    'network.dns.forceResolve': options.address,
    'network.captive-portal-service.enabled': false,
    'network.connectivity-service.enabled': false,
    'browser.shell.checkDefaultBrowser': false,
    'datareporting.policy.dataSubmissionEnabled': false,
    'app.normandy.enabled': false,
    'app.update.enabled': false,
    'services.settings.server': 'data:,',
    'remote.active-protocols': 1,
    'ui.prefersReducedMotion': 1,
    'intl.accept_languages': options.locale || 'en-GB',
  };
  const lines = Object.entries(settings).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`);
  fs.writeFileSync(path.join(directory, 'user.js'), lines.join(''));
  return directory;
}

class Firefox {
  static async start(options) {
    const directory = profile(options);
    const home = { ...process.env, HOME: directory, MOZ_HEADLESS: '1' };
    const child = spawn(EXECUTABLE, ['--headless', '--no-remote', '--profile', directory, '--remote-debugging-port=0'], { env: home });
    const address = await new Promise((found, failed) => {
      let said = '';
      const late = setTimeout(() => failed(new Error(`Firefox does not listen: ${said}`)), WAIT_MS);
      const listen = (data) => {
        said += data;
        const [, url] = /WebDriver BiDi listening on (ws:\S+)/.exec(said) || [];
        if (url) { clearTimeout(late); found(url); }
      };
      child.stderr.on('data', listen);
      child.stdout.on('data', listen);
    });
    const socket = new WebSocket(`${address}/session`);
    await new Promise((opened, failed) => { socket.on('open', opened); socket.on('error', failed); });
    const firefox = new Firefox(options, child, socket);
    await firefox.send('session.new', { capabilities: { alwaysMatch: { acceptInsecureCerts: true } } });
    await firefox.send('session.subscribe', { events: ['log.entryAdded'] });
    const { contexts } = await firefox.send('browsingContext.getTree', {});
    firefox.context = contexts[0].context;
    const viewport = { width: options.width, height: options.height };
    await firefox.send('browsingContext.setViewport', { context: firefox.context, viewport, devicePixelRatio: 1 });
    return firefox;
  }

  constructor(options, child, socket) {
    Object.assign(this, { options, child, socket, wrong: [], looked: [], waiting: new Map(), last: 0, at: '', leaves: false });
    this.base = `https://${options.host}:${options.port}`;
    socket.on('message', (data) => this.receive(JSON.parse(data)));
  }

  receive(message) {
    if (message.type === 'event') {
      const { level, text, source, stackTrace } = message.params;
      // A violation of the policy is an error too. Firefox warns of what it does not know, which is no fault. It also ends the requests of a page that is
      // left, and calls that an error of the network.
      const ended = this.leaves && /^htmx: htmx:error: NetworkError/.test(text);
      if (level === 'error' && source.context === this.context && !ended) {
        this.wrong.push(`${this.at}: ${text} ${JSON.stringify(stackTrace?.callFrames?.[0] || '')}`);
      }
      return;
    }
    const { answered, failed, late } = this.waiting.get(message.id) || {};
    if (!answered) return;
    clearTimeout(late);
    this.waiting.delete(message.id);
    if (message.type === 'success') answered(message.result); else failed(new Error(`${message.error}: ${message.message}`));
  }

  send(method, params) {
    this.last += 1;
    const id = this.last;
    return new Promise((answered, failed) => {
      const late = setTimeout(() => failed(new Error(`no answer to ${method}`)), WAIT_MS);
      this.waiting.set(id, { answered, failed, late });
      this.socket.send(JSON.stringify({ id, method, params }));
    });
  }

  async go(to) {
    this.at = to;
    await this.leave(() => this.send('browsingContext.navigate', { context: this.context, url: this.base + to, wait: 'complete' }));
  }

  async leave(by) {
    this.leaves = true;
    await by();
    this.leaves = false;
  }

  // The value of an expression in the page, as JSON.
  async evaluate(expression) {
    const target = { context: this.context };
    const wrapped = `(async () => JSON.stringify((await (${expression})) ?? null))()`;
    const { type, result, exceptionDetails } = await this.send('script.evaluate', { expression: wrapped, target, awaitPromise: true });
    assert(type === 'success', expression.slice(0, 100), JSON.stringify(exceptionDetails));
    return JSON.parse(result.value);
  }

  // Sends a form, and waits for the page that it leads to.
  async submit(selector) {
    const before = await this.evaluate('performance.timeOrigin');
    await this.leave(async () => {
      await this.evaluate(`document.querySelector(${JSON.stringify(selector)}).click()`);
      await this.until(`performance.timeOrigin !== ${before} && document.readyState === 'complete'`);
    });
  }

  async until(expression) {
    const end = Date.now() + WAIT_MS;
    while (!(await this.evaluate(expression).catch(() => false))) {
      assert(Date.now() < end, 'in vain:', expression);
      await new Promise((later) => setTimeout(later, 100));
    }
  }

  async look(name) {
    const { options } = this;
    for (const theme of ['light', 'dark']) {
      // The choice of the page itself: a cookie, which its server reads.
      const cookie = { name: '__Host-waypost-theme', value: { type: 'string', value: theme }, domain: options.host, path: '/', secure: true };
      await this.send('storage.setCookie', { cookie });
      await this.go(this.at);
      const shown = await this.evaluate('getComputedStyle(document.body).backgroundColor');
      const wide = await this.evaluate(`(${wider})()`);
      if (wide) this.wrong.push(`${name} ${theme}: ${wide}`);
      await this.evaluate(`(() => { ${axe} })()`);
      const found = await this.evaluate("window.axe.run(document, { resultTypes: ['violations'] }).then((result) => result.violations)");
      for (const { id, impact, help, nodes } of found) {
        if (['serious', 'critical'].includes(impact)) this.wrong.push(`${name} ${theme}: axe ${impact} ${id} (${help}): ${nodes[0].target.join(' ')}`);
      }
      if (options.shots) {
        const origin = options.whole ? 'document' : 'viewport';
        const { data } = await this.send('browsingContext.captureScreenshot', { context: this.context, origin });
        fs.writeFileSync(path.join(options.shots, `firefox-${name}-${options.width}-${theme}.png`), Buffer.from(data, 'base64'));
      }
      this.looked.push(`${name} ${theme} ${shown}`);
    }
  }

  async end() {
    const ended = new Promise((done) => { this.child.on('exit', done); });
    await this.send('browser.close', {}).catch(() => this.child.kill('SIGKILL'));
    await ended;
  }
}

run(async (options) => {
  const v = await Firefox.start(options);
  try {
    await v.go('/login');
    await v.look('login');
    await v.go(new URL(options.link).pathname);
    await v.submit('main form button');
    for (const screen of options.screens) {
      await v.go(screen);
      assert((await v.evaluate('location.pathname')) === screen.split('?')[0], 'it is led away from', screen);
      await v.look(screen.replaceAll(/[^a-z]+/g, '-').replace(/^-|-$/g, '') || 'today');
    }
    await v.go('/mail');
    const message = await v.evaluate("document.querySelector('main a[href^=\"/mail/\"]')?.getAttribute('href')");
    assert(message, 'the list of mail leads to a message');
    await v.go(message);
    await v.look('message');
    return { looked: v.looked };
  } finally {
    await v.end();
    assert(v.wrong.length === 0, `\n${v.wrong.join('\n')}`);
  }
});
