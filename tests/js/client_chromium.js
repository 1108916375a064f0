// S3 of mixpanel-http-api.md §14.2 in a real browser: a page of one origin, the server of another, so that Chromium
// itself sends the preflights and decides what the page may read. With feature flags and remote settings, whose
// requests carry headers of their own.
//
// usage: client_chromium.js CHROMIUM BASE TOKEN
//   ->  {"origin", "replies": [{"method","path","status"}], "errors": [...], "flags": …, "foreign": …, "now": …}
const fs = require('fs');
const http = require('http');
const path = require('path');
const puppeteer = require('puppeteer-core');

const [chromium, base, token] = process.argv.slice(2);
const library = path.join(path.dirname(require.resolve('mixpanel-browser/package.json')), 'dist/mixpanel.module.js');

const html = `<!doctype html><title>shop</title><p>shop</p><script type="module">
import mixpanel from '/mixpanel.js';
const result = (window.result = {});
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
mixpanel.init(${JSON.stringify(token)}, {
  api_host: ${JSON.stringify(base)}, persistence: 'localStorage', batch_flush_interval_ms: 300, ignore_dnt: true,
  flags: true, remote_settings_mode: 'fallback',
});
mixpanel.track('WebAnon', { x: 1, s: 'a+b é ~>>>>' });
await pause(800);
mixpanel.identify('web1');
mixpanel.people.set({ plan: 'pro' });
mixpanel.people.increment('n', 2);
mixpanel.set_group('company', 'acme');
mixpanel.get_group('company', 'acme').set({ tier: 'gold' });
mixpanel.track('WebKnown', {});
result.flags = await mixpanel.flags.get_variant_value('none', 'fallback');
result.now = await new Promise((resolve) => mixpanel.track('WebNow', {}, { send_immediately: true }, resolve));
// What the page may not do: read answers with what the browser remembers of its visitor.
const question = ${JSON.stringify(base)} + '/api/query/segmentation?event=A';
result.foreign = await fetch(question, { credentials: 'include' }).then(() => 'read', (error) => error.name);
window.done = true;
</script>`;

/** Another origin than the server's: another name of this machine, another port. */
async function serve() {
  const server = http.createServer((request, response) => {
    const isLibrary = request.url === '/mixpanel.js';
    response.setHeader('content-type', isLibrary ? 'text/javascript' : 'text/html; charset=utf-8');
    response.statusCode = isLibrary || request.url.startsWith('/shop') ? 200 : 404;
    response.end(isLibrary ? fs.readFileSync(library) : html);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return [server, `http://localhost:${server.address().port}`];
}

(async () => {
  const [server, origin] = await serve();
  const args = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--no-proxy-server'];
  const browser = await puppeteer.launch({ executablePath: chromium, headless: true, args });
  try {
    const page = await browser.newPage();
    const report = { origin, replies: [], errors: [] };
    const isOurs = (url) => url.startsWith(base) && !url.includes('/api/query/');
    page.on('response', (response) => {
      const [url, request] = [response.url(), response.request()];
      if (isOurs(url)) {
        report.replies.push({ method: request.method(), path: new URL(url).pathname, status: response.status() });
      }
    });
    page.on('requestfailed', (request) => {
      if (isOurs(request.url())) report.errors.push(`${request.url()}: ${request.failure().errorText}`);
    });
    page.on('pageerror', (error) => report.errors.push(String(error)));
    page.on('console', (message) => {
      const text = message.text();
      const expected = text.includes('/api/query/') || message.location()?.url?.includes('/api/query/')
        || message.location()?.url?.endsWith('/favicon.ico');
      if (message.type() === 'error' && !expected) report.errors.push(text);
    });
    await page.goto(`${origin}/shop?utm_source=x`);
    await page.waitForFunction(
      (token) =>
        window.done &&
        ['ev', 'pp', 'gr'].every((queue) => [null, '[]'].includes(localStorage.getItem(`__mpq_${token}_${queue}`))),
      { timeout: 60000, polling: 50 },
      token,
    );
    console.log(JSON.stringify({ ...report, ...(await page.evaluate(() => window.result)) }));
  } finally {
    await browser.close();
    server.close();
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
