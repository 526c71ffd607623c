// Any one part is killed during a stream of calls: the others survive, what was killed comes back without
// help, every client gets an answer or a clear error before the deadline, and every answered call is on record.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Admin } from '../../examples/admin.mjs';
import { connect } from '../../examples/clients.mjs';
import { host, startStatusServer } from '../../examples/status-server.mjs';
import { Instance } from './instance.mjs';
import { callTool, envelope, post } from './rpc.mjs';

const toolTimeoutMs = 4000;
const deadlineMs = toolTimeoutMs + 5000; // interface.md: a client waits at most the tool's timeout + 5 s
const callers = 4;

const tools = {
  echo_mark: 'async def main(mark: str) -> dict:\n    return {"mark": mark}\n',
  fetch_mark: `async def main(mark: str) -> dict:
    answer = await http.get("https://${host}/" + mark)
    return {"mark": mark, "status": answer.status_code}
`,
};

describe('a part is killed during a stream of calls', { timeout: 600_000 }, () => {
  let instance;
  let statusServer;
  let box;
  let marks = 0;

  before(async () => {
    statusServer = await startStatusServer();
    instance = await Instance.make(statusServer.environment);
    instance.up();
    const admin = new Admin(instance.adminBase);
    await admin.setup('ada', 'correct horse battery');
    await admin.login('ada', 'correct horse battery');
    await admin.policy({ tool_approval_mode: 'auto_approve' });
    box = await connect('modern', instance.mcp);
    const server = await box.manage('create_server', { name: 'marks' });
    for (const [name, code] of Object.entries(tools)) {
      const tool = await box.manage('create_tool', {
        server_id: server.id, name, python_code: code, timeout_ms: toolTimeoutMs,
      });
      await box.manage('request_publish', { tool_id: tool.id });
      if (name !== 'fetch_mark') continue;
      await box.manage('request_network_access', { tool_id: tool.id, host, justification: 'marks' });
      await admin.approveHost(await admin.pendingHost(host));
    }
    await box.manage('start_server', { server_id: server.id });
    await works();
    await box.close();
  });

  after(() => {
    statusServer.close();
    instance.remove();
  });

  const call = (name) => {
    marks += 1;
    const mark = `mark-${marks}`;
    return callTool(instance.mcp, name, { mark }, deadlineMs + 2000).then((answer) => ({ ...answer, mark, name }));
  };

  // Both tools answer; returns when they do.
  async function works(timeoutMs = 45_000) {
    const end = Date.now() + timeoutMs;
    const last = {};
    for (const name of Object.keys(tools)) {
      for (;;) {
        last[name] = await call(name);
        if (last[name].kind === 'ok') break;
        assert.ok(Date.now() < end, `${name} does not work again: ${last[name].kind}: ${last[name].text}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  // Calls both tools from several clients until told to stop.
  function stream() {
    const answers = [];
    let going = true;
    const one = async (name) => {
      while (going) {
        const answer = await call(name);
        answers.push(answer);
        // A refused connection comes back at once; do not spin on it.
        if (answer.kind === 'lost') await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    const names = Object.keys(tools);
    const done = Promise.all(Array.from({ length: callers }, (_, i) => one(names[i % names.length])));
    return { answers, stop: async () => { going = false; await done; return answers; } };
  }

  const answersAfter = async (running, count) => {
    const from = running.answers.length;
    const end = Date.now() + 20_000;
    while (running.answers.length < from + count && Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };

  // Every service, the database too, is back without help.
  async function healthy(timeoutMs = 20_000) {
    const end = Date.now() + timeoutMs;
    while (instance.run('status').status !== 0) {
      assert.ok(Date.now() < end, `not healthy: ${instance.run('status').stdout}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  const pids = () => Object.fromEntries(instance.status().services.map(({ name, pid }) => [name, pid]));

  async function recorded(answered) {
    const wanted = new Set(answered.map(({ mark }) => mark));
    const end = Date.now() + 30_000;
    for (;;) {
      const rows = instance.sql("SELECT input_args FROM executions WHERE ended_at IS NOT NULL AND input_args LIKE '%mark-%'");
      const found = new Set([...rows.matchAll(/mark-\d+/g)].map(([mark]) => mark));
      const missing = [...wanted].filter((mark) => !found.has(mark));
      if (missing.length === 0) return;
      assert.ok(Date.now() < end, `answered but not on record: ${missing.slice(0, 5).join(' ')} (${missing.length})`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  for (const victim of ['registry', 'gateway', 'executor', 'egress-proxy', 'postgres']) {
    it(`${victim} is killed`, async () => {
      const before = pids();
      const running = stream();
      await answersAfter(running, 20);
      process.kill(before[victim], 'SIGKILL');
      await answersAfter(running, 20);
      await works();
      await healthy();
      await answersAfter(running, 20);
      const answers = await running.stop();

      const slow = answers.filter(({ ms, kind }) => kind === 'hang' || ms > deadlineMs);
      assert.deepEqual(slow, [], 'no call hangs beyond the deadline');
      const mute = answers.filter(({ kind, text }) => kind === 'error' && !text);
      assert.deepEqual(mute, [], 'an error says what happened');
      const lost = answers.filter(({ kind }) => kind === 'lost');
      if (victim !== 'gateway') assert.deepEqual(lost.slice(0, 3), [], 'only the gateway can lose a connection');
      const answered = answers.filter(({ kind }) => kind === 'ok');
      for (const { mark, result } of answered) assert.equal(result.structuredContent.mark, mark);
      await recorded(answered);

      const now = pids();
      for (const [name, pid] of Object.entries(before)) {
        if (name === victim) assert.notEqual(now[name], pid, `${name} was started again`);
        else assert.equal(now[name], pid, `${name} survived`);
      }
      assert.equal(instance.run('status').status, 0);
    });
  }

  it('without a registry management says so and tools go on', async () => {
    const { registry: pid } = pids();
    process.kill(pid, 'SIGSTOP');
    try {
      const answer = await call('echo_mark');
      assert.equal(answer.kind, 'ok', answer.text);
      const { message } = await post(instance.mcp, envelope('tools/call', { name: 'mcpbox_list_servers', arguments: {} }), {
        timeoutMs: 20_000,
      });
      const text = message.error?.message ?? message.result.content[0].text;
      assert.match(text, /registry/i);
      assert.ok(message.error || message.result.isError);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await works();
  });

  it('a killed supervisor takes its service along and up repairs both', () => {
    const before = pids();
    const supervisor = instance.supervisorOf('gateway');
    process.kill(supervisor, 'SIGKILL');
    assert.notEqual(instance.run('status').status, 0);
    instance.upAgain();
    const now = pids();
    assert.notEqual(now.gateway, before.gateway);
    assert.equal(now.registry, before.registry);
    assert.equal(instance.run('status').status, 0);
  });

  it('the audit chain is intact after all of it', () => {
    const verdict = instance.ctl('audit', 'verify');
    assert.equal(verdict.status, 0, verdict.stdout + verdict.stderr);
  });
});
