// Writes events with make-mp-data as flat NDJSON: its own shop of `models/simple.js`, without anonymous ids.
//
// usage: make_data.js FOLDER EVENTS  ->  the path of the events' file, alone on the last line
const path = require('path');
const makeData = require('make-mp-data');
const shop = require('make-mp-data/models/simple.js');

const [folder, events] = process.argv.slice(2);
process.chdir(folder); // it writes to ./data

makeData({
  ...shop,
  seed: 'footfall',
  numEvents: Number(events),
  numUsers: 800,
  numDays: 60,
  format: 'json',
  anonIds: false,
  sessionIds: false,
  token: null,
  writeToDisk: true,
  verbose: false,
}).then(({ files }) => console.log(`\n${path.resolve(files[0][0])}`));
