// The npm package ws: the documented methods, a hub client's discovery, and a message that is none.
// Usage: node client.mjs ws://HOST:PORT

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const { WebSocket } = createRequire(import.meta.url)('ws');

const socket = new WebSocket(process.argv[2]);
const waiting = [];
const come = [];
socket.on('message', (data) => {
  const message = JSON.parse(data.toString());
  const take = waiting.shift();
  if (take) take(message);
  else come.push(message);
});
const next = () => (come.length ? Promise.resolve(come.shift()) : new Promise((take) => waiting.push(take)));
const ask = (message) => {
  socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  return next();
};
const call = async (method, params) => {
  const answer = await ask({ jsonrpc: '2.0', id: method, method, params });
  assert.equal(answer.id, method);
  return answer.result;
};
const follow = async (method, params) => {
  const answer = await ask({ jsonrpc: '2.0', id: 24, method, params });
  assert.ok(Number.isSafeInteger(answer.result), JSON.stringify(answer));
  const data = await next();
  const done = await next();
  assert.equal(data.params.subscription, answer.result);
  assert.equal(done.params.result.type, 'done');
  return { notification: data.method, ...data.params.result };
};

await new Promise((open, failed) => socket.on('open', open).on('error', failed));
const registered = await call('registry.register', { name: 'node', host: '127.0.0.1', port: 8888 });
assert.equal(registered.type, 'backend_registered');
assert.equal(registered.backend.protocol, 'ws');
assert.equal((await call('registry.list', { active_only: true })).backends[0].name, 'node');

const info = await follow('_info');
assert.equal(info.notification, 'result');
const hub = info.content.backend;
const list = await follow(`${hub}.call`, { method: 'registry.list', params: {} });
assert.equal(list.content_type, 'registry.list');
assert.equal(list.content.backends.length, 1);
assert.equal((await follow('registry_get', { name: 'node' })).notification, 'registry_get');

const batch = await ask([
  { jsonrpc: '2.0', id: 1, method: 'registry.get', params: ['node'] },
  { jsonrpc: '2.0', method: 'registry.ping', params: ['node'] },
  { jsonrpc: '2.0', id: 2, method: 'none' },
]);
assert.deepEqual(batch.map((one) => one.id), [1, 2]);
assert.equal(batch[1].error.code, -32601);
const broken = await ask('{');
assert.equal(broken.error.code, -32700);
assert.match(broken.error.data, /EOF/);
assert.equal((await call('registry.delete', { name: 'node' })).name, 'node');
await new Promise((closed) => {
  socket.on('close', closed);
  socket.close(1000);
});
console.log('well');
