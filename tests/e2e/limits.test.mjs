// Limits, refusals, cancelling and fair shares as callers, authors and administrators see them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { Admin } from '../../examples/admin.mjs';
import { connect } from '../../examples/clients.mjs';
import { Instance } from './instance.mjs';
import { callTool, envelope, headersFor, post } from './rpc.mjs';

const processGoneMs = 200; // issue: the process is gone within 200 ms
const marginMs = 100; // for this test's own looking
const limits = {
  memory_mb: 64, cpu_ms: 1000, output_kb: 64, result_kb: 64, files: 32, threads: 4, scratch_mb: 4,
};

// A tool for each limit, and how its error begins.  Modules that need approval are not used.
const excesses = {
  timeout: ['import time\ndef main():\n    time.sleep(30)\n', 'time limit 1.5 s exceeded'],
  cpu: ['def main():\n    while True: pass\n', 'CPU time limit 1 s exceeded ('],
  memory: ['def main():\n    x = []\n    while True: x.append(bytearray(1 << 20))\n', 'memory limit 64 MiB exceeded'],
  output: ['def main():\n    while True: print("x" * 999)\n', 'output limit 64 KiB exceeded ('],
  result: ['def main():\n    return "x" * 204800\n', 'result limit 64 KiB exceeded (200.0 KiB)'],
  files: ['def main():\n    x = []\n    while True: x.append(open("a", "w"))\n', 'descriptor limit 32 exceeded'],
  threads: [`import asyncio, time
async def main():
    await asyncio.gather(*[asyncio.to_thread(time.sleep, 1) for _ in range(6)])
`, 'thread limit 4 exceeded'],
  scratch: ['def main():\n    f = open("a", "wb")\n    while True: f.write(bytes(1 << 20))\n', 'scratch space limit 4 MiB exceeded (4 MiB used)'],
};

const burner = 'def main(mark: str):\n    while True: pass\n';

describe('limits, refusals, cancelling, shares', { timeout: 300_000 }, () => {
  let instance;
  let admin;
  let box;
  let layers;

  before(async () => {
    instance = await Instance.make();
    instance.up();
    admin = new Admin(instance.adminBase);
    await admin.setup('ada', 'correct horse battery');
    await admin.login('ada', 'correct horse battery');
    await admin.policy({ tool_approval_mode: 'auto_approve' });
    box = await connect('modern', instance.mcp);
    layers = instance.status().executors[0].layers;
  });

  after(async () => {
    await box?.close().catch(() => {});
    instance.remove();
  });

  async function publish(serverName, tools) {
    const server = await box.manage('create_server', { name: serverName });
    const made = {};
    for (const [name, more] of Object.entries(tools)) {
      made[name] = await box.manage('create_tool', { server_id: server.id, name, ...more });
      await box.manage('request_publish', { tool_id: made[name].id });
    }
    await box.manage('start_server', { server_id: server.id });
    return { server, made };
  }

  const audit = (topic) => {
    const done = instance.ctl('audit', 'tail', '--no-follow', '--since', '0', '--json', '--topic', topic);
    assert.equal(done.status, 0, done.stderr);
    return done.stdout.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line));
  };

  async function until(find, what, timeoutMs = 10_000) {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const found = await find();
      if (found) return found;
      assert.ok(Date.now() < end, `in ${timeoutMs} ms: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  it('each excess names limit and use to the caller, and is an event for the administrator', async () => {
    const possible = Object.entries(excesses).filter(([name]) => layers.mountns || !['files', 'scratch'].includes(name));
    await publish('limits', Object.fromEntries(possible.map(([name, [code]]) => [
      `over_${name}`, { python_code: code, timeout_ms: name === 'timeout' ? 1500 : 9000, limits },
    ])));
    for (const [name, [, text]] of possible) {
      const answer = await callTool(instance.mcp, `over_${name}`, {});
      assert.equal(answer.kind, 'error');
      assert.ok(answer.text.startsWith(text), `${name}: ${answer.text}`);
      const event = await until(
        () => audit('sandbox.killed').find(({ detail }) => detail.tool === `over_${name}`),
        `an event for ${name}`,
      );
      assert.equal(event.outcome, name);
      assert.equal(event.detail.version, 1);
      assert.ok(event.detail.limit && event.detail.allowed > 0, JSON.stringify(event));
      assert.equal(instance.sql(`SELECT outcome FROM executions WHERE call_id = '${event.detail.call_id}'`), name);
    }
  });

  it('a NUL in a text is a character like others, and no crash', async () => {
    await publish('nuls', {
      nul_text: { python_code: 'def main():\n    return "a\\0b"\n' },
      nul_error: { python_code: 'def main():\n    raise mcp.ToolError("a\\0b")\n' },
    });
    const text = await callTool(instance.mcp, 'nul_text', {});
    assert.deepEqual([text.kind, text.result?.content[0].text], ['ok', 'a\0b'], text.text);
    const error = await callTool(instance.mcp, 'nul_error', {});
    assert.deepEqual([error.kind, error.text], ['error', 'a\ufffdb']);
    for (const [tool, outcome] of [['nul_text', 'ok'], ['nul_error', 'tool_error']])
      await until(
        () => instance.sql(`SELECT outcome FROM executions WHERE tool_name = '${tool}'`) === outcome,
        `${tool} is in the record`,
      );
  });

  it('what code asks for in vain is told to its author with the tool to ask with, and to the administrator', async () => {
    await publish('vain', {
      wants_module: { python_code: 'def main():\n    import requests\n' },
      wants_host: { python_code: 'async def main():\n    await http.get("https://nobody.example.com/")\n' },
    });
    const module = await callTool(instance.mcp, 'wants_module', {});
    assert.match(module.text, /requests.*mcpbox_request_module/s);
    const host = await callTool(instance.mcp, 'wants_host', {});
    assert.match(host.text, /nobody\.example\.com.*mcpbox_request_network_access/s);
    for (const [tool, kind, name, line] of [
      ['wants_module', 'import', 'requests', 2], ['wants_host', 'host', 'nobody.example.com:443', 2],
    ]) {
      const event = await until(() => audit('tool.refused').find(({ detail }) => detail.tool === tool), `${tool} is an event`);
      assert.deepEqual(event.detail.refused, [{ kind, name, line, count: 1 }]);
    }
  });

  // The process of this instance that burns the processor: the call.
  const ticks = (pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[11]);
    } catch {
      return undefined; // gone
    }
  };

  async function burning() {
    const before = new Map(instance.processes().map((pid) => [pid, ticks(pid)]));
    await new Promise((resolve) => setTimeout(resolve, 200));
    const [pid] = [...before].map(([pid, was]) => [pid, ticks(pid) - was]).filter(([, n]) => n >= 8)
      .sort((a, b) => b[1] - a[1])[0] ?? [];
    return pid;
  }

  async function goneAfter(pid, act) {
    const started = performance.now();
    await act();
    while (ticks(pid) !== undefined) {
      assert.ok(performance.now() - started < 5000, 'the process is never gone');
      await new Promise((resolve) => setImmediate(resolve));
    }
    return performance.now() - started;
  }

  const recordOf = (mark) => until(
    () => instance.sql(`SELECT outcome FROM executions WHERE ended_at IS NOT NULL AND input_args LIKE '%${mark}%'`),
    `the record of ${mark}`,
  );

  const legacyHeaders = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };

  async function legacySession() {
    const { headers } = await post(instance.mcp, {
      jsonrpc: '2.0', id: 0, method: 'initialize',
      params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'e2e', version: '1' } },
    }, { headers: legacyHeaders });
    return { ...legacyHeaders, 'mcp-session-id': headers.get('mcp-session-id') };
  }

  it('a client that leaves, a cancellation, a revocation and a deletion end the process within 200 ms', async () => {
    const { made } = await publish('burners', {
      burn: { python_code: burner, timeout_ms: 60000 }, burn_revoked: { python_code: burner, timeout_ms: 60000 },
      burn_deleted: { python_code: burner, timeout_ms: 60000 },
    });
    const leave = () => {
      const message = envelope('tools/call', { name: 'burn', arguments: { mark: 'left' } });
      const sent = request(instance.mcp, { method: 'POST', headers: headersFor(message), agent: false });
      sent.on('error', () => {}); // it is destroyed
      sent.end(JSON.stringify(message));
      return { mark: 'left', end: async () => sent.destroy() };
    };
    const cancel = async () => {
      const headers = await legacySession();
      void post(instance.mcp, {
        jsonrpc: '2.0', id: 'burning', method: 'tools/call', params: { name: 'burn', arguments: { mark: 'cancelled' } },
      }, { headers }).catch(() => {});
      return {
        mark: 'cancelled',
        end: () => post(instance.mcp, { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'burning' } }, { headers }),
      };
    };
    const revoke = () => {
      void callTool(instance.mcp, 'burn_revoked', { mark: 'revoked' });
      return { mark: 'revoked', end: () => admin.request('POST', `/api/approvals/tools/${made.burn_revoked.id}/revoke`, {}) };
    };
    const remove = () => {
      void callTool(instance.mcp, 'burn_deleted', { mark: 'deleted' });
      return { mark: 'deleted', end: () => admin.request('DELETE', `/api/tools/${made.burn_deleted.id}`) };
    };
    for (const begin of [leave, cancel, revoke, remove]) {
      const { mark, end } = await begin();
      const pid = await until(burning, `${mark}: a process runs`);
      const ms = await goneAfter(pid, end);
      assert.ok(ms < processGoneMs + marginMs, `${mark}: gone after ${ms.toFixed(0)} ms`);
      assert.equal(await recordOf(mark), 'cancelled', mark);
    }
  });

  it('a flood of calls of one server leaves another answering', async () => {
    await publish('flood', { slow: { python_code: 'import time\ndef main():\n    time.sleep(2)\n', timeout_ms: 60000 } });
    await publish('calm', { quick: { python_code: 'def main():\n    return "here"\n' } });
    assert.equal((await callTool(instance.mcp, 'quick', {})).kind, 'ok');
    const flood = Array.from({ length: 60 }, () => callTool(instance.mcp, 'slow', {}, 90_000));
    const times = [];
    for (let i = 0; i < 10; i += 1) {
      const answer = await callTool(instance.mcp, 'quick', {});
      assert.equal(answer.kind, 'ok', answer.text);
      times.push(answer.ms);
    }
    assert.ok(Math.max(...times) < 1000, times.map((ms) => ms.toFixed(0)).join(' '));
    const answers = await Promise.all(flood);
    assert.ok(answers.every(({ kind }) => kind === 'ok'), answers.map(({ kind, text }) => text ?? kind).join(' '));
  });

  it('warm reuse is an option of a server that an administrator sets and a reviewer sees', async () => {
    const { server } = await publish('warm', { where: { python_code: 'def main():\n    return "here"\n' } });
    const shown = () => /processes +(.*)/.exec(instance.ctl('show', 'warm/where').stdout)?.[1];
    const login = instance.run('ctl', ['login', '--user', 'ada', '--password-file', '-'], { input: 'correct horse battery\n' });
    assert.equal(login.status, 0, login.stderr);
    assert.equal(shown(), 'a fresh one for each call');
    assert.equal(instance.ctl('warm-reuse', 'on', 'warm').status, 0);
    assert.equal(shown(), 'one serves many calls (warm reuse)');
    assert.equal((await admin.request('GET', `/api/servers/${server.id}`)).warm_reuse, true);
    for (let i = 0; i < 5; i += 1) assert.equal((await callTool(instance.mcp, 'where', {})).kind, 'ok');
    assert.equal((await admin.request('PUT', `/api/servers/${server.id}/warm-reuse`, { warm_reuse: false })).warm_reuse, false);
    assert.equal(shown(), 'a fresh one for each call');
  });
});
