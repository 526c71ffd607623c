// API tokens at the MCP port: whoever presents one is its owner, within its scope, until it ends.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Admin } from '../../examples/admin.mjs';
import { Instance } from './instance.mjs';
import { envelope, headersFor, post } from './rpc.mjs';

const password = 'correct horse battery';

describe('API tokens at the MCP port', { timeout: 300_000 }, () => {
  let instance;
  let ada;
  let ben;
  const tokens = {};

  before(async () => {
    instance = await Instance.make();
    instance.up();
    ada = new Admin(instance.adminBase);
    await ada.setup('ada', password);
    await ada.login('ada', password);
    await ada.request('POST', '/api/users', { username: 'ben', password, role: 'admin' });
    ben = new Admin(instance.adminBase);
    await ben.login('ben', password);
    for (const scope of ['read', 'call', 'author']) {
      tokens[scope] = await ben.request('POST', '/api/tokens', { name: scope, scope });
    }
  });

  after(() => instance.remove());

  const ask = (token, method, params) => {
    const body = envelope(method, params);
    const headers = { ...headersFor(body), ...(token ? { authorization: `Bearer ${token}` } : {}) };
    return post(instance.mcp, body, { headers });
  };
  const call = async (token, name, args = {}) => {
    const { status, message } = await ask(token, 'tools/call', { name, arguments: args });
    assert.equal(status, 200);
    return { isError: Boolean(message.result.isError), text: message.result.content[0].text };
  };

  it('author in their owner\'s name, who then cannot be the one that approves', async () => {
    const manage = async (name, args) => {
      const { isError, text } = await call(tokens.author.token, `mcpbox_${name}`, args);
      assert.ok(!isError, text);
      return JSON.parse(text).id;
    };
    const server = await manage('create_server', { name: 'mine' });
    const tool = await manage('create_tool', {
      server_id: server, name: 'who', python_code: 'async def main():\n    return "hello"\n',
    });
    await manage('request_publish', { tool_id: tool });
    const seen = await ada.pendingTool('who');
    assert.equal(seen.created_by, 'ben');
    await ada.policy({ approvals_required: 2 });
    await assert.rejects(ben.approveTool(seen), /the author's own does not count/);
    await ada.policy({ approvals_required: 1 });
    await ada.approveTool(seen);
    await manage('start_server', { server_id: server });
  });

  it('reach what their scope holds', async () => {
    assert.deepEqual(await call(tokens.call.token, 'who'), { isError: false, text: 'hello' });
    assert.equal((await ask(tokens.read.token, 'tools/list')).status, 200);
    assert.match((await call(tokens.read.token, 'who')).text, /scope is read/);
    assert.match((await call(tokens.call.token, 'mcpbox_create_server', { name: 'more' })).text, /token:ben may not/);
    assert.equal((await call(null, 'who')).isError, false, 'without a token: local mode, as ever');
    const wrong = await ask('mcpbox.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', 'tools/list');
    assert.equal(wrong.status, 401);
    assert.match(wrong.headers.get('www-authenticate'), /^Bearer .*invalid_token/);
    const deadline = Date.now() + 5000;
    let by;
    do {
      by = instance.sql("SELECT DISTINCT executed_by FROM executions WHERE outcome = 'ok' ORDER BY 1").split('\n');
    } while (by.length < 2 && Date.now() < deadline);
    assert.deepEqual(by.sort(), ['127.0.0.1', 'ben']);
  });

  // interface.md promises a second; it is held while the token is in use all the time.
  it('end within a second when they are deleted, and when they expire', async () => {
    const ends = async (token, begin) => {
      assert.equal((await ask(token, 'tools/list')).status, 200);
      const begun = await begin();
      while ((await ask(token, 'tools/list')).status === 200) assert.ok(performance.now() - begun < 10_000);
      return performance.now() - begun;
    };
    const deleted = await ends(tokens.call.token, async () => {
      const begun = performance.now();
      await ben.request('DELETE', `/api/tokens/${tokens.call.id}`);
      return begun;
    });
    assert.ok(deleted <= 1000, `refused after ${deleted} ms`);
    const expiresAt = Date.now() + 1500;
    const short = await ben.request('POST', '/api/tokens', {
      name: 'short', scope: 'read', expires_at: new Date(expiresAt).toISOString(),
    });
    const expired = await ends(short.token, async () => performance.now() + (expiresAt - Date.now()));
    assert.ok(expired > -100 && expired <= 1000, `refused after ${expired} ms`);
  });
});
