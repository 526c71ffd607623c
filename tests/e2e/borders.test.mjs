// Bad input at both HTTP doors gets the documented answer, and the service behind is none the worse for it.
import assert from 'node:assert/strict';
import { connect as connectSocket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Instance } from './instance.mjs';
import { envelope, headersFor, post } from './rpc.mjs';

const list = envelope('tools/list');
const json = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
const modern = headersFor(list);
const withHeaders = (extra) => ({ ...modern, ...extra });
const deep = (depth) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const withParams = (params) => JSON.stringify({ ...list, params: { ...list.params, ...params } });

// What is posted to /mcp, the status, the JSON-RPC code.
const gatewayRows = [
  ['malformed JSON', '{"jsonrpc":"2.0",', json, 400, -32700],
  ['JSON with text behind it', `${JSON.stringify(list)} x`, modern, 400, -32700],
  ['invalid UTF-8', Buffer.concat([Buffer.from('{"jsonrpc":"2.0","id":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]), json, 400, -32700],
  ['a lone surrogate', '{"jsonrpc":"2.0","id":1,"method":"\\ud800"}', json, 400, -32700],
  ['depth of 100,000', deep(100_000), json, 400, -32700],
  ['an empty body', '', json, 400, -32700],
  ['a JSON string', '"hello"', json, 400, -32600],
  ['an empty batch', '[]', json, 400, -32600],
  ['no jsonrpc member', '{"id":1,"method":"ping"}', json, 400, -32600],
  ['method of a wrong type', '{"jsonrpc":"2.0","id":1,"method":7}', json, 400, -32600],
  ['params of a wrong type', '{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}', json, 400, -32600],
  ['id null', '{"jsonrpc":"2.0","id":null,"method":"ping"}', json, 400, -32600],
  ['an unknown modern method', envelope('no/such'), headersFor(envelope('no/such')), 404, -32601],
  ['a version that is not served', withParams({ _meta: { ...list.params._meta, 'io.modelcontextprotocol/protocolVersion': '2031-01-01' } }), withHeaders({ 'mcp-protocol-version': '2031-01-01' }), 400, -32022],
  ['a header that contradicts the body', JSON.stringify(list), withHeaders({ 'mcp-method': 'tools/call' }), 400, -32020],
  ['an unknown tool', envelope('tools/call', { name: 'no_such_tool', arguments: {} }), undefined, 200, -32602],
  ['arguments of a wrong type', envelope('tools/call', { name: 'mcpbox_list_servers', arguments: 'x' }), undefined, 200, -32602],
  ['a legacy request without a session', '{"jsonrpc":"2.0","id":1,"method":"tools/list"}', json, 400, -32000],
  ['a legacy request with an unknown session', '{"jsonrpc":"2.0","id":1,"method":"tools/list"}', { ...json, 'mcp-session-id': 'nobody' }, 404, -32001],
];

// Method, path, body, headers, status.
const adminRows = [
  ['malformed JSON', 'POST', '/auth/login', '{"username":', 422],
  ['wrong types', 'POST', '/auth/login', '{"username":7,"password":[]}', 422],
  ['a missing member', 'POST', '/auth/login', '{"username":"ada"}', 422],
  ['invalid UTF-8', 'POST', '/auth/login', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 422],
  ['too deep', 'POST', '/auth/login', deep(1000), 422],
  ['wrong credentials', 'POST', '/auth/login', '{"username":"nobody","password":"correct horse battery"}', 401],
  ['no credentials', 'GET', '/api/servers', undefined, 401],
  ['a bad token', 'GET', '/api/servers', undefined, 401, { authorization: 'Bearer nonsense' }],
  ['an unknown path', 'GET', '/api/nothing', undefined, 404],
  ['a method that the path has not', 'PUT', '/auth/login', '{}', 405],
];

describe('bad input at the borders', { timeout: 180_000 }, () => {
  let instance;

  before(async () => {
    instance = await Instance.make();
    instance.up();
  });

  after(() => instance.remove());

  for (const [what, body, headers, status, code] of gatewayRows) {
    it(`gateway: ${what} gives ${status} and ${code}`, async () => {
      const answer = await post(instance.mcp, body, { headers: headers ?? headersFor(body) });
      assert.equal(answer.status, status, JSON.stringify(answer.message));
      assert.equal(answer.message?.error?.code, code, JSON.stringify(answer.message));
      assert.ok(answer.message.error.message);
    });
  }

  it('gateway: a body above the limit gives 413', async () => {
    const answer = await fetch(instance.mcp, {
      method: 'POST', headers: modern, body: withParams({ cursor: 'x'.repeat(9 << 20) }),
    }).then((response) => response.status, () => 'closed');
    assert.ok(answer === 413 || answer === 'closed', String(answer));
  });

  it('gateway: another content type gives 415, another method 405 with Allow', async () => {
    const typed = await fetch(instance.mcp, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: '{}' });
    assert.equal(typed.status, 415);
    const put = await fetch(instance.mcp, { method: 'PUT', headers: json, body: '{}' });
    assert.equal(put.status, 405);
    assert.ok(put.headers.get('allow'));
  });

  it('gateway: a foreign Origin or Host gives 403', async () => {
    const origin = await post(instance.mcp, list, { headers: withHeaders({ origin: 'https://evil.example' }) });
    assert.equal(origin.status, 403);
    assert.match(await raw(instance.gatewayPort, 'POST /mcp HTTP/1.1\r\nHost: evil.example\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}'), /^HTTP\/1\.1 403 /);
  });

  // Sends bytes, returns everything that comes back until the server closes or is silent.
  function raw(port, bytes) {
    return new Promise((resolve, reject) => {
      let text = '';
      const socket = connectSocket(port, '127.0.0.1', () => socket.write(bytes));
      socket.setEncoding('latin1');
      socket.setTimeout(3000, () => socket.destroy());
      socket.on('data', (chunk) => { text += chunk; });
      socket.on('close', () => resolve(text));
      socket.on('error', (error) => (error.code === 'ECONNRESET' ? resolve(text) : reject(error)));
    });
  }

  // Each could hide a second request from a front proxy: exactly one answer, then the connection ends.
  const framing = {
    'a length and chunked': 'Content-Length: 2\r\nTransfer-Encoding: chunked\r\n',
    'two different lengths': 'Content-Length: 2\r\nContent-Length: 3\r\n',
    'a length with a sign': 'Content-Length: +2\r\n',
    'a length with letters': 'Content-Length: 2abc\r\n',
    'an unknown transfer encoding': 'Transfer-Encoding: identity\r\n',
    'a space before the colon': 'Content-Length : 2\r\n',
    'a folded header': 'X-A: b\r\n c\r\nContent-Length: 2\r\n',
    'a second Host': 'Host: localhost\r\nContent-Length: 2\r\n',
    'seventy headers': `${Array.from({ length: 70 }, (_, i) => `X-${i}: y\r\n`).join('')}Content-Length: 2\r\n`,
  };
  for (const service of ['gateway', 'admin']) {
    for (const [what, lines] of Object.entries(framing)) {
      it(`${service}: ${what} gets one 400 and the connection ends`, async () => {
        const port = service === 'gateway' ? instance.gatewayPort : instance.adminPort;
        const path = service === 'gateway' ? '/mcp' : '/auth/login';
        const smuggled = 'GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';
        const text = await raw(port, `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n${lines}\r\n{}${smuggled}`);
        assert.equal(text.match(/HTTP\/1\.1 \d/g)?.length ?? 0, text === '' ? 0 : 1, text);
        if (text) assert.match(text, /^HTTP\/1\.1 400 /);
      });
    }
  }

  for (const [what, method, path, body, status, headers] of adminRows) {
    it(`admin: ${what} gives ${status} with a detail`, async () => {
      const response = await fetch(new URL(path, instance.adminBase), {
        method, body, headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      });
      const text = await response.text();
      assert.equal(response.status, status, text);
      assert.equal(typeof JSON.parse(text).detail, 'string');
    });
  }

  it('admin: a body above the limit gives 413', async () => {
    const answer = await fetch(new URL('/auth/login', instance.adminBase), {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: `"${'x'.repeat(9 << 20)}"`,
    }).then((response) => response.status, () => 'closed');
    assert.ok(answer === 413 || answer === 'closed', String(answer));
  });

  it('after all of it every service is healthy and none was restarted', () => {
    assert.equal(instance.run('status').status, 0);
    const logs = instance.run('logs').stdout;
    assert.doesNotMatch(logs, /"event":"service\.ended"/);
  });
});
