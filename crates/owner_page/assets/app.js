// The page's own script: copy buttons, times in the visitor's zone, lists that follow the server's events.
// Everything works without it. No inline handler, no eval: the content security policy refuses both.
(() => {
  'use strict';
  // The English of the server: days before months, hours to 24.
  const language = document.documentElement.lang === 'en' ? 'en-GB' : document.documentElement.lang;
  const zoned = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'long' });
  const clock = new Intl.DateTimeFormat(language, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
  const day = new Intl.DateTimeFormat(language, { dateStyle: 'medium' });
  const relative = new Intl.RelativeTimeFormat(language, { style: 'short', numeric: 'always' });
  const UNITS = [['day', 86400], ['hour', 3600], ['minute', 60]];

  function relativeWords(at) {
    const seconds = Math.trunc((at - Date.now()) / 1000);
    if (Math.abs(seconds) >= 30 * 86400) return day.format(at);
    const unit = UNITS.find(([, size]) => Math.abs(seconds) >= size);
    return unit && relative.format(Math.trunc(seconds / unit[1]), unit[0]);
  }

  function showTimes(root) {
    for (const element of root.querySelectorAll('time[datetime]')) {
      const at = new Date(element.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      if ('exact' in element.dataset) element.textContent = zoned.format(at);
      else element.title = zoned.format(at);
      if ('clock' in element.dataset) element.textContent = clock.format(at);
      // Below a minute the server's words stay.
      const words = 'relative' in element.dataset && relativeWords(at);
      if (words) element.textContent = words;
    }
  }

  function showCopyButtons(root) {
    if (!navigator.clipboard) return;
    for (const button of root.querySelectorAll('button[data-copy][hidden]')) button.hidden = false;
  }

  function show(root) {
    showTimes(root);
    showCopyButtons(root);
  }

  document.addEventListener('click', async (event) => {
    const button = event.target.closest('button[data-copy]');
    if (!button) return;
    const label = button.textContent;
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = button.dataset.done;
    setTimeout(() => { button.textContent = label; }, 1500);
  });

  // A form that has been sent is not sent again by a second click.
  document.addEventListener('submit', (event) => {
    const form = event.target;
    if (form.method !== 'post' || event.defaultPrevented) return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = 'yes';
    setTimeout(() => delete form.dataset.sent, 3000);
  });

  // data-copies on a form that makes an address: it is copied as soon as it exists. The clipboard gets a promise, since it only takes what a click began.
  document.addEventListener('submit', async (event) => {
    const form = event.target;
    if (!('copies' in form.dataset) || !navigator.clipboard || !window.ClipboardItem) return;
    event.preventDefault();
    const made = fetch(form.action, { method: 'POST', headers: { accept: 'application/json' }, body: new URLSearchParams(new FormData(form)) })
      .then((answer) => (answer.ok ? answer.json() : Promise.reject(answer.status)));
    const words = made.then((found) => new Blob([found.address], { type: 'text/plain' }));
    try { await navigator.clipboard.write([new ClipboardItem({ 'text/plain': words })]); } catch { /* The page shows the address with a button. */ }
    made.then((found) => location.assign(found.place), () => form.submit());
  });

  document.addEventListener('htmx:after:swap', () => show(document));
  show(document);
  setInterval(() => showTimes(document), 30000);

  // data-live="message delivery" on a list: htmx fetches it again (hx-trigger="waypost:live") when such an event comes, at most once a second.
  const lists = () => document.querySelectorAll('[data-live]');
  const source = document.body.dataset.liveSource;
  if (!source || !lists().length || !window.EventSource) return;
  const due = new Set();
  let timer = 0;
  function refresh() {
    timer = 0;
    for (const list of lists()) {
      const groups = list.dataset.live.split(' ');
      if (due.has('all') || groups.some((group) => due.has(group))) list.dispatchEvent(new CustomEvent('waypost:live'));
    }
    due.clear();
  }
  function happened(event) {
    due.add(event.type);
    if (!timer && !document.hidden) timer = setTimeout(refresh, 1000);
  }
  document.addEventListener('visibilitychange', () => { if (!document.hidden && due.size) refresh(); });
  let stream = null;
  function open() {
    stream = new EventSource(source);
    for (const group of ['session', 'message', 'delivery', 'login', 'change', 'server', 'all']) stream.addEventListener(group, happened);
  }
  addEventListener('pagehide', () => stream && stream.close());
  addEventListener('pageshow', (event) => { if (event.persisted) open(); });
  open();
})();
