// S2 of mixpanel-http-api.md §14.2: the real `mixpanel` package against a running server.
//
// usage: client_mixpanel.js HOST:PORT TOKEN API_SECRET  ->  ok
// Single events and profile updates go by GET, batches by POST with raw base64; the package calls back with an error on
// any other reply than the one it knows.
const [address, token, secret] = process.argv.slice(2);
const mixpanel = require('mixpanel').init(token, { host: address, protocol: 'http' });
const done = (call) => new Promise((resolve, reject) => call((error) => (error ? reject(error) : resolve())));

(async () => {
  await done((callback) => mixpanel.track('Node', { distinct_id: 'u1', s: 'a>>>>é' }, callback));
  await done((callback) =>
    mixpanel.track_batch(
      [
        { event: 'NodeBatch', properties: { distinct_id: 'u1', s: 'a>>>>>' } },
        { event: 'NodeBatch', properties: { distinct_id: 'u2', s: 'ab>>>>>' } },
      ],
      callback,
    ),
  );
  await done((callback) => mixpanel.people.set('u1', { plan: 'pro' }, callback));
  await done((callback) => mixpanel.people.increment('u1', 'n', 2, callback));
  await done((callback) => mixpanel.people.union('u1', { l: ['x'] }, callback));
  await done((callback) => mixpanel.groups.set('company', 'acme', { tier: 'gold' }, callback));
  mixpanel.set_config({ key: secret }); // sent as api_key
  await done((callback) => mixpanel.import('NodeOld', new Date(1700000000000), { distinct_id: 'u1' }, callback));
  console.log('ok');
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
