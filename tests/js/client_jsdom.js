// S3 of mixpanel-http-api.md §14.2: the real `mixpanel-browser` package in a page that jsdom makes up. jsdom keeps the
// rules of cross-origin requests for XMLHttpRequest, and the page's origin is another than the server's.
//
// usage: client_jsdom.js BASE TOKEN  ->  ok {"code":200,…}
const [base, token] = process.argv.slice(2);
const { JSDOM } = require('jsdom');

const page = new JSDOM('<p>', { url: 'http://localhost:3000/?utm_source=x', pretendToBeVisual: true }).window;
page.btoa = btoa;
page.atob = atob;
page.fetch = (url, options) => fetch(url, options);
const names = ['document', 'navigator', 'location', 'screen', 'localStorage', 'sessionStorage', 'XMLHttpRequest'];
for (const [name, value] of [['window', page], ...names.map((name) => [name, page[name]])]) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}

const mixpanel = require('mixpanel-browser/dist/mixpanel-core.cjs.js');
mixpanel.init(token, { api_host: base, persistence: 'localStorage', batch_flush_interval_ms: 300, ignore_dnt: true });
mixpanel.track('WebAnon', { x: 1 });
setTimeout(() => {
  mixpanel.identify('web1');
  mixpanel.people.set({ plan: 'pro' });
  mixpanel.people.increment('n', 2);
  mixpanel.set_group('company', 'acme');
  mixpanel.get_group('company', 'acme').set({ tier: 'gold' });
  mixpanel.track('WebKnown', {});
}, 800);
setTimeout(() => {
  mixpanel.track('WebNow', {}, { send_immediately: true }, (reply) => console.log('ok', JSON.stringify(reply)));
}, 1600);

// The queues are in localStorage; a batch leaves its queue once the server has said that it has it.
const queued = () => ['ev', 'pp', 'gr'].map((queue) => page.localStorage.getItem(`__mpq_${token}_${queue}`));
const isEmpty = (queue) => queue === null || queue === '[]';
const began = Date.now();
setInterval(() => {
  const waited = Date.now() - began;
  if (waited > 2500 && queued().every(isEmpty)) process.exit(0);
  if (waited > 30000) {
    console.error('still queued:', queued());
    process.exit(1);
  }
}, 50);
