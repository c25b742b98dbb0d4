// A client of the service API with the `ws` package: client.cjs PORT CA
const assert = require('node:assert');
const fs = require('node:fs');
const WebSocket = require('ws');

const [port, ca] = process.argv.slice(2);
const socket = new WebSocket(`wss://localhost:${port}/`, {
  ca: fs.readFileSync(ca),
  headers: { Authorization: 'Bearer s3cret' },
});
const waiting = new Map();
const events = [];
let told = () => {};

socket.on('error', (error) => { throw error; });
socket.on('message', (text) => {
  const message = JSON.parse(text);
  if (message.type === 'event') {
    events.push(message);
    told();
  } else {
    assert.deepStrictEqual(message.data, message.result);
    waiting.get(message.id)(message);
  }
});

// All at once: answers find their requests by id.
const ask = (action, params) => new Promise((resolve) => {
  waiting.set(action, (message) => {
    assert.strictEqual(message.error, undefined, JSON.stringify(message));
    resolve(message.data);
  });
  socket.send(JSON.stringify({ id: action, type: 'request', action, params }));
});

const event = (name) => new Promise((resolve) => {
  told = () => {
    const found = events.find((each) => each.event === name);
    if (found) resolve(found);
  };
  told();
});

socket.on('open', async () => {
  assert.deepStrictEqual((await event('registry_loaded')).data, []);
  const endpoints = [{ name: 'http', address: '127.0.0.1:8080', protocol: 'http', metadata: {} }];
  const [, , all] = await Promise.all([
    ask('subscribe', { events: ['service_registered', 'ServiceStateChanged', 'service_deregistered'] }),
    ask('register_service', { name: 'web', endpoints, state: 'running' }),
    ask('list_services'),
    ask('service_action', { name: 'web', action: 'restart' }),
    ask('deregister_service', { name: 'web' }),
  ]);
  assert.strictEqual(all[0].endpoints[0].address, '127.0.0.1:8080');
  await event('service_deregistered');
  const states = events.filter((each) => each.event === 'ServiceStateChanged').map((each) => each.data.new_state);
  assert.deepStrictEqual(states, ['starting', 'running', 'stopping', 'stopped', 'starting', 'running']);
  assert.strictEqual(events[1].event, 'service_registered');
  socket.close();
  console.log('registered, listed, restarted, told, deregistered');
});
