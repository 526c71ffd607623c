// The big red switch, with the whole stack behind it.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Admin } from '../../examples/admin.mjs';
import { connect } from '../../examples/clients.mjs';
import { Instance } from './instance.mjs';
import { callTool } from './rpc.mjs';

const password = 'correct horse battery';
const code = `import time
def main(seconds: float = 0) -> str:
    time.sleep(seconds)
    return "done"
`;

describe('pause', { timeout: 300_000 }, () => {
  let instance;
  let box;

  before(async () => {
    instance = await Instance.make();
    instance.up();
    const admin = new Admin(instance.adminBase);
    await admin.setup('ada', password);
    await admin.login('ada', password);
    await admin.policy({ tool_approval_mode: 'auto_approve' });
    assert.equal(instance.run('ctl', ['login', '--user', 'ada', '--password-file', '-'], { input: `${password}\n` }).status, 0);
    box = await connect('modern', instance.mcp);
    for (const name of ['quiet', 'loud']) {
      const server = await box.manage('create_server', { name });
      const tool = await box.manage('create_tool', { server_id: server.id, name: `${name}_one`, python_code: code });
      await box.manage('request_publish', { tool_id: tool.id });
      await box.manage('start_server', { server_id: server.id });
    }
    await until(async () => (await call('quiet_one')).kind === 'ok' && (await call('loud_one')).kind === 'ok');
  });

  after(async () => {
    await box.close();
    instance.remove();
  });

  const call = (name, seconds = 0) => callTool(instance.mcp, name, { seconds }, 40_000);
  async function until(condition) {
    const end = Date.now() + 30_000;
    while (!(await condition())) assert.ok(Date.now() < end);
  }

  it('of one server ends what runs there, refuses what comes, and leaves the others alone', async () => {
    const running = call('quiet_one', 25);
    await until(() => instance.status().executors.some((executor) => executor.in_flight > 0));
    assert.equal(instance.ctl('pause', 'quiet').status, 0);
    const ended = await running;
    assert.equal(ended.kind, 'error');
    assert.match(ended.text, /paused/);
    assert.ok(ended.ms < 20_000, 'it did not run to its end');
    await until(async () => /calls of server 'quiet' are paused/.test((await call('quiet_one')).text));
    assert.equal((await call('loud_one')).kind, 'ok');
    assert.deepEqual(instance.status().paused_servers, ['quiet']);
    assert.match(instance.run('status').stdout, /the calls of server quiet are paused/);
  });

  it('of everything holds over a restart of everything', async () => {
    assert.equal(instance.ctl('pause').status, 0);
    assert.equal(instance.run('down').status, 0);
    instance.upAgain();
    await instance.reachable();
    assert.equal(instance.status().paused, true);
    await until(async () => /are paused/.test((await call('loud_one')).text));
    assert.equal(instance.ctl('resume').status, 0);
    await until(async () => (await call('loud_one')).kind === 'ok');
    assert.match((await call('quiet_one')).text, /'quiet' are paused/, 'its own pause is another matter');
    assert.equal(instance.ctl('resume', 'quiet').status, 0);
    await until(async () => (await call('quiet_one')).kind === 'ok');
    assert.deepEqual([instance.status().paused, instance.status().paused_servers], [false, []]);
  });
});
