// The story that the product exists for, driven by the official clients of both eras.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Admin } from '../../examples/admin.mjs';
import { connect } from '../../examples/clients.mjs';
import { callUntil, refusalOf, runStory } from '../../examples/story.mjs';
import { host, startStatusServer } from '../../examples/status-server.mjs';
import { Instance } from './instance.mjs';

const user = 'ada';
const password = 'correct horse battery';
const succeeded = (result) => !result.isError;

// Topics of the story, each after the one before it.
const chapters = [
  'auth.setup',
  'auth.login',
  'server.created',
  'tool.created',
  'tool.validated',
  'tool.tested',
  'host.requested',
  'tool.submitted',
  'tool.approved',
  'server.started',
  'host.approved',
  'host.revoked',
  'host.approved',
];

function assertInOrder(topics, wanted) {
  let from = 0;
  for (const topic of wanted) {
    const at = topics.indexOf(topic, from);
    assert.notEqual(at, -1, `${topic} is missing after ${topics.slice(0, from).join(' ')} in ${topics.join(' ')}`);
    from = at + 1;
  }
}

async function until(check, what, timeoutMs = 10_000) {
  const end = Date.now() + timeoutMs;
  while (!(await check())) {
    assert.ok(Date.now() < end, `in ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

for (const era of ['legacy', 'modern']) {
  describe(`story of one tool, ${era} client`, { timeout: 240_000 }, () => {
    let instance;
    let statusServer;
    let admin;
    let story;
    let tail;

    before(async () => {
      statusServer = await startStatusServer();
      instance = await Instance.make(statusServer.environment);
    });

    after(async () => {
      tail?.stop();
      await story?.box.close().catch(() => {});
      statusServer.close();
      instance.remove();
    });

    it('up ends with the two addresses, a second up changes nothing', () => {
      const lines = instance.up().stdout.trimEnd().split('\n');
      assert.deepEqual(lines.slice(-2), [`MCP    ${instance.mcp}`, `admin  ${instance.adminBase}`]);
      const before = instance.status().services.map(({ pid }) => pid);
      instance.upAgain();
      assert.deepEqual(instance.status().services.map(({ pid }) => pid), before);
    });

    it('the first admin sets up once and logs in', async () => {
      tail = instance.followAudit();
      admin = new Admin(instance.adminBase);
      await admin.setup(user, password);
      await assert.rejects(
        () => admin.request('POST', '/auth/setup', { username: 'eve', password }),
        { status: 409 },
      );
      await admin.login(user, password);
      assert.equal((await admin.request('GET', '/auth/me')).username, user);
    });

    it('an empty box lists the management tools only', async () => {
      const box = await connect(era, instance.mcp);
      const names = await box.names();
      assert.ok(names.includes('mcpbox_create_server'));
      assert.ok(names.every((name) => name.startsWith('mcpbox_')), names.join(' '));
      await box.close();
    });

    it('a tool is written, reviewed, approved, listed and called', async () => {
      story = await runStory({ era, mcp: instance.mcp, admin, say: () => {} });
      assert.equal(story.verdict.valid, true);
      assert.equal(story.verdict.has_main, true);
      assert.match(story.testRefusal, /approv/i);
      assert.equal(story.waiting.approval_status, 'pending_review');
      assert.equal(story.waiting.network_access_requests[0].host, host);
      assert.equal(story.waiting.network_access_requests[0].status, 'pending');
      assert.match(story.pendingTool.python_code, /status\.example\.com/);
      assert.equal(story.listed[0], 'service_status');
      assert.deepEqual(story.result.structuredContent.status.indicator, 'none');
      assert.deepEqual(JSON.parse(story.result.content[0].text), story.result.structuredContent);
    });

    it('without approval of the host the call names the host and the tool to ask with', () => {
      assert.ok(story.denied.includes(host), story.denied);
      assert.match(story.denied, /mcpbox_request_network_access/);
    });

    it('the request went through the egress-proxy to the real server', () => {
      assert.ok(statusServer.requests.length >= 1);
      assert.deepEqual(statusServer.requests[0], {
        method: 'GET',
        path: '/api/v2/status.json',
        servername: host,
      });
    });

    it('a revoked host is refused again within a second, and works once approved again', async () => {
      await admin.revokeHost(story.pendingHost);
      const refused = await callUntil(story.box, 'service_status', (answer) => answer.isError, 1000);
      assert.ok(refused.isError);
      await admin.approveHost(story.pendingHost);
      const result = await callUntil(story.box, 'service_status', succeeded, 1000);
      assert.ok(succeeded(result), result.content[0].text);
    });

    it('a tool that a person approved cannot be changed under its approval', async () => {
      await assert.rejects(
        () => admin.request('POST', `/api/approvals/tools/${story.tool.id}/action`, {
          action: 'approve',
          content_hash: 'ab'.repeat(32),
        }),
        ({ status }) => status === 409 || status === 400,
      );
    });

    it('under the auto policy a draft may be tested and publishing approves', async () => {
      await admin.policy({ tool_approval_mode: 'auto_approve' });
      const tool = await story.box.manage('create_tool', {
        server_id: story.server.id,
        name: 'double',
        python_code: 'async def main(n: int) -> int:\n    return n * 2\n',
      });
      const tested = await story.box.manage('test_code', { tool_id: tool.id, arguments: { n: 21 } });
      assert.equal(tested.success, true);
      assert.equal(tested.result, 42);
      const published = await story.box.manage('request_publish', { tool_id: tool.id });
      assert.equal(published.status, 'approved');
      await until(async () => (await story.box.names()).includes('double'), 'double is listed');
      assert.match((await refusalOf(() => story.box.call('double', { n: 'x' }))), /n/);
      await admin.policy({ tool_approval_mode: 'require_approval' });
    });

    it('after SIGKILL of everything the tool is still there, approved, live', async () => {
      await story.box.close().catch(() => {});
      instance.killEverything();
      await until(() => instance.processes().length === 0, 'everything is dead');
      instance.upAgain();
      await instance.reachable();
      const box = await connect(era, instance.mcp);
      const result = await callUntil(box, 'service_status', succeeded, 10_000);
      assert.ok(succeeded(result), result.content?.[0]?.text);
      assert.equal((await box.names())[0], 'double');
      const state = await box.manage('get_tool_status', { tool_id: story.tool.id });
      assert.equal(state.approval_status, 'approved');
      await box.close();
    });

    it('every step is in the audit log, in order, and was published live', async () => {
      const done = instance.ctl('audit', 'tail', '--no-follow', '--since', '0', '--json');
      assert.equal(done.status, 0, done.stderr);
      const rows = done.stdout.trim().split('\n').map((line) => JSON.parse(line));
      assertInOrder(rows.map(({ topic }) => topic), chapters);
      assert.ok(rows.some(({ topic }) => topic === 'call.finished'));
      assert.ok(rows.some(({ topic, object_id: id }) => topic === 'egress.denied' || String(id).includes(host)));
      const chained = rows.filter(({ seq }) => seq > 0).map(({ seq }) => seq);
      assert.deepEqual(chained, [...chained].sort((a, b) => a - b));
      assertInOrder(tail.rows.map(({ topic }) => topic), chapters.slice(2, 10));
    });

    const verify = () => {
      const done = instance.ctl('audit', 'verify');
      return { status: done.status, text: done.stdout + done.stderr };
    };

    it('audit verify finds the record of a call that was altered by hand', () => {
      assert.equal(verify().status, 0, verify().text);
      const call = instance.sql("SELECT call_id FROM executions WHERE ended_at IS NOT NULL AND tool_name = 'double' LIMIT 1");
      const input = instance.sql(`SELECT input_args FROM executions WHERE call_id = '${call}'`);
      instance.sql(`UPDATE executions SET input_args = '{"n":1}' WHERE call_id = '${call}'`);
      assert.equal(verify().status, 1, verify().text);
      instance.sql(`UPDATE executions SET input_args = '${input}' WHERE call_id = '${call}'`);
      assert.equal(verify().status, 0, verify().text);
    });

    it('audit verify finds the chain intact, and a row that was altered by hand', () => {
      assert.equal(verify().status, 0, verify().text);
      const seq = instance.sql("SELECT seq FROM audit_log WHERE topic = 'tool.approved' ORDER BY seq LIMIT 1");
      instance.sql(`UPDATE audit_log SET actor = 'nobody' WHERE seq = ${seq}`);
      const broken = verify();
      assert.equal(broken.status, 1, broken.text);
      assert.match(broken.text, new RegExp(`\\b${seq}\\b`));
    });

    it('down stops everything and may be repeated', () => {
      assert.equal(instance.run('down').status, 0);
      assert.deepEqual(instance.processes(), []);
      assert.equal(instance.run('down').status, 0);
    });
  });
}
