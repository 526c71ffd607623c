// What a reviewer can do with a tool before approving it: run it, and see where it goes.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Admin } from '../../examples/admin.mjs';
import { connect } from '../../examples/clients.mjs';
import { host, startStatusServer } from '../../examples/status-server.mjs';
import { Instance } from './instance.mjs';

const password = 'correct horse battery';
const code = `async def main(times: int = 1) -> dict:
    seen = [(await http.get("https://${host}/" + str(i))).status_code for i in range(times)]
    try:
        await http.get("https://elsewhere.example.com/")
    except PermissionError:
        print("not allowed")
    return {"seen": seen}
`;

describe('a reviewer tries a tool', { timeout: 300_000 }, () => {
  let instance;
  let statusServer;
  let admin;
  let box;
  let tool;

  before(async () => {
    statusServer = await startStatusServer();
    instance = await Instance.make(statusServer.environment);
    instance.up();
    admin = new Admin(instance.adminBase);
    await admin.setup('ada', password);
    await admin.login('ada', password);
    box = await connect('modern', instance.mcp);
    const server = await box.manage('create_server', { name: 'news' });
    tool = await box.manage('create_tool', { server_id: server.id, name: 'looks', python_code: code });
    await box.manage('request_publish', { tool_id: tool.id });
  });

  after(async () => {
    await box.close();
    statusServer.close();
    instance.remove();
  });

  const run = (args) => admin.request('POST', '/api/tools/test-code', { tool_id: tool.id, arguments: args });

  it('is refused to the LLM that wrote it', async () => {
    await assert.rejects(box.manage('test_code', { tool_id: tool.id }), /status is pending_review/);
  });

  it('shows the host that was refused, then the one that was reached', async () => {
    const refused = await run({});
    assert.deepEqual([refused.success, refused.outcome, refused.hosts_complete], [false, 'tool_error', true]);
    assert.match(refused.error, new RegExp(host));
    assert.deepEqual(refused.hosts.map((h) => [h.host, h.port, h.decision, h.requests]), [[host, 443, 'denied', 1]]);
    assert.equal(statusServer.requests.length, 0);

    await box.manage('request_network_access', { tool_id: tool.id, host, justification: 'status' });
    await admin.approveHost(await admin.pendingHost(host));
    const answer = await run({ times: 3 });
    assert.deepEqual(answer.result, { seen: [200, 200, 200] });
    assert.equal(answer.stdout, 'not allowed\n');
    assert.deepEqual(answer.hosts.map((h) => [h.host, h.decision, h.requests, h.status]), [
      [host, 'allowed', 3, 200],
      ['elsewhere.example.com', 'denied', 1, 0],
    ]);
    assert.equal(statusServer.requests.length, 3);
    const log = await admin.request('GET', `/api/logs/${answer.log_id}`);
    assert.deepEqual([log.is_test, log.executed_by, log.success], [true, 'ada', true]);
  });

  it('works from the command line, and approves nothing', async () => {
    assert.equal(instance.run('ctl', ['login', '--user', 'ada', '--password-file', '-'], { input: `${password}\n` }).status, 0);
    // The status server lives in this process, which waits for the command: so no request that it would answer.
    const done = instance.ctl('test', 'news/looks', '--arguments', '{"times": 0}');
    assert.equal(done.status, 0, done.stderr);
    assert.match(done.stdout, /version 1: ok/);
    assert.match(done.stdout, /elsewhere\.example\.com +443 +denied +not-listed +1 +0/);
    assert.equal(instance.ctl('test', 'news/looks', '--arguments', '{"times": "x"}').status, 1);
    assert.equal((await admin.pendingTool('looks')).current_version, 1, 'it still waits for its decision');
    assert.ok(!(await box.names()).includes('looks'));
  });
});
