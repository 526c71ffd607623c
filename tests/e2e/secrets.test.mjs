// Secrets through the whole stack: what tools, hosts, logs and the database get to see of them.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Admin } from '../../examples/admin.mjs';
import { connect } from '../../examples/clients.mjs';
import { Instance } from './instance.mjs';
import { callTool } from './rpc.mjs';

const revealed = 'open-sesame "q\\uote" /ü 42';
const placeholder = /^mcpbox-secret-[0-9a-f]{32}$/;

const tools = {
  sees: `def main(key: str):
    value = secrets[key]
    return [len(value), value == value.encode().decode(), sorted(secrets), value[::-1]]
`,
  tells: `import json
def main(how: str):
    value = secrets["OPEN"]
    print("out", value)
    if how == "error":
        raise ValueError("bad " + value)
    if how == "text":
        return "the value is " + value
    if how == "nested":
        return json.dumps({"a": [value]})
    return {"a": {value: [value, 1]}}
`,
  notes: `async def main():
    await mcp.progress(1, 2, secrets["OPEN"])
    mcp.log("info", {"value": secrets["OPEN"]})
    return "noted"
`,
  peeks: `import gc
def main():
    found = [o for o in gc.get_objects() if isinstance(o, dict) and "OPEN" in o]
    return [len(found), "${'OPEN'}" in globals()]
`,
};

// A host that keeps what it was sent and says it again, in as many ways as the path asks for.
class Origin {
  requests = [];

  async start() {
    this.server = createServer((request, response) => {
      const parts = [];
      request.on('data', (part) => parts.push(part));
      request.on('end', () => {
        const seen = { url: request.url, headers: request.headers, body: Buffer.concat(parts).toString() };
        this.requests.push(seen);
        this.answer(seen, response);
      });
    });
    await new Promise((done) => this.server.listen(0, '127.0.0.1', done));
    return this.server.address().port;
  }

  answer(seen, response) {
    response.end('{}');
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

describe('secrets', { timeout: 300_000 }, () => {
  const origin = new Origin();
  let instance;
  let admin;
  let box;
  let server;
  let token;

  before(async () => {
    const port = await origin.start();
    instance = await Instance.make({
      MCPBOX_EGRESS_PINNED_HOSTS: ['bound', 'other'].map((name) => `${name}.example.com=127.0.0.1:${port}`).join(','),
    });
    instance.up();
    admin = new Admin(instance.adminBase);
    await admin.setup('ada', 'correct horse battery');
    token = (await admin.login('ada', 'correct horse battery')).access_token;
    await admin.policy({ tool_approval_mode: 'auto_approve' });
    box = await connect('modern', instance.mcp);
    server = await publish('keeper', tools);
  });

  after(async () => {
    await box?.close().catch(() => {});
    instance.remove();
    origin.stop();
  });

  async function publish(name, codes) {
    const made = await box.manage('create_server', { name });
    for (const [tool, code] of Object.entries(codes)) {
      const { id } = await box.manage('create_tool', { server_id: made.id, name: tool, python_code: code });
      await box.manage('request_publish', { tool_id: id });
    }
    await box.manage('start_server', { server_id: made.id });
    return made;
  }

  const secret = (key) => `/api/servers/${server.id}/secrets/${key}`;
  const create = (key) => box.manage('create_server_secret', { server_id: server.id, key });
  const set = (key, body) => admin.request('PUT', secret(key), body);

  // A change is in force with the next call that a gateway takes after it heard of it.
  async function callUntil(name, args, isGood) {
    const end = Date.now() + 5000;
    for (;;) {
      const answer = await callTool(instance.mcp, name, args);
      if (isGood(answer)) return answer;
      assert.ok(Date.now() < end, JSON.stringify(answer));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  const value = (answer) => answer.result.structuredContent;
  const text = (answer) => answer.result.content[0].text;

  it('a key without a value is an error that names the tool to ask with', async () => {
    const first = await callTool(instance.mcp, 'sees', { key: 'OPEN' });
    assert.match(first.text, /no secret 'OPEN'.*mcpbox_create_server_secret/s);
    await create('OPEN');
    const second = await callTool(instance.mcp, 'sees', { key: 'OPEN' });
    assert.match(second.text, /administrator sets its value/);
  });

  it('a revealed value reaches the tool, without a restart, and is masked in all that comes back', async () => {
    await set('OPEN', { value: revealed, mode: 'reveal' });
    const answer = await callUntil('sees', { key: 'OPEN' }, ({ kind }) => kind === 'ok');
    assert.deepEqual(value(answer), [[...revealed].length, true, ['OPEN'], [...revealed].reverse().join('')]);

    for (const [how, shown] of [
      ['text', 'the value is [REDACTED]'],
      ['nested', '{"a": ["[REDACTED]"]}'],
      ['dict', '{"a":{"[REDACTED]":["[REDACTED]",1]}}'],
    ]) {
      const { result } = await callTool(instance.mcp, 'tells', { how });
      assert.equal(result.content[0].text, shown);
      assert.equal(result._meta.execution.stdout, 'out [REDACTED]\n');
      assert.ok(!JSON.stringify(result).includes('sesame'), JSON.stringify(result));
    }
    const failed = await callTool(instance.mcp, 'tells', { how: 'error' });
    assert.match(failed.text, /^ValueError: bad \[REDACTED\]/);
    assert.ok(!failed.text.includes('sesame'));
    await callTool(instance.mcp, 'notes', {});
  });

  it('an injected value is a placeholder to the tool, another one in each call', async () => {
    await create('HIDDEN');
    await set('HIDDEN', { value: 'never-seen-by-code', hosts: ['bound.example.com'] });
    const shape = (answer) => [...value(answer)[3]].reverse().join('');
    const one = await callUntil('sees', { key: 'HIDDEN' }, ({ kind }) => kind === 'ok');
    const two = await callTool(instance.mcp, 'sees', { key: 'HIDDEN' });
    assert.match(shape(one), placeholder);
    assert.match(shape(two), placeholder);
    assert.notEqual(shape(one), shape(two));
    assert.deepEqual(value(two)[2], ['HIDDEN', 'OPEN']);
  });

  it('no other server gets any of them', async () => {
    await publish('stranger', { strange: tools.sees });
    const answer = await callUntil('strange', { key: 'OPEN' }, (a) => /no secret/.test(a.text));
    assert.match(answer.text, /no secret 'OPEN'/);
  });

  it('reviews show which values the code sees and which it uses', async () => {
    const { items } = await admin.request('GET', '/api/approvals/tools?status=all');
    const seen = items.find((tool) => tool.name === 'sees');
    assert.deepEqual([seen.revealed_secrets, seen.injected_secrets], [['OPEN'], ['HIDDEN']]);
    const shown = instance.run('ctl', ['show', 'keeper/sees'], { environment: { MCPBOX_TOKEN: token } });
    assert.equal(shown.status, 0, shown.stderr);
    assert.match(shown.stdout, /OPEN\s+REVEALED: the code sees its value/);
    assert.match(shown.stdout, /HIDDEN\s+injected.*bound\.example\.com/);
  });

  it('a deleted secret is gone from the next call on', async () => {
    await create('SHORT_LIVED');
    await set('SHORT_LIVED', { value: 'here today', mode: 'reveal' });
    await callUntil('sees', { key: 'SHORT_LIVED' }, ({ kind }) => kind === 'ok');
    await admin.request('DELETE', secret('SHORT_LIVED'));
    const gone = await callUntil('sees', { key: 'SHORT_LIVED' }, ({ kind }) => kind === 'error');
    assert.match(gone.text, /no secret 'SHORT_LIVED'|revoked/);
  });

  it('no value stands in a log, an audit row, a record or the database', async () => {
    const binaries = '/usr/lib/postgresql';
    const version = readdirSync(binaries).sort().at(-1);
    const dumped = spawnSync(join(binaries, version, 'bin/pg_dump'), ['-h', join(instance.data, 'run/pg'), '-U', 'mcpbox', 'mcpbox'],
      { encoding: 'utf8', maxBuffer: 256 << 20 }).stdout;
    assert.match(dumped, /keeper/);
    const logs = instance.run('logs').stdout;
    assert.match(logs, /registry/);
    const audit = instance.ctl('audit', 'tail', '--no-follow', '--since', '0', '--json').stdout;
    assert.match(audit, /secret\.set/);
    for (const spot of [dumped, audit, logs]) {
      for (const word of ['sesame', 'never-seen-by-code', 'here today']) {
        for (const form of [word, Buffer.from(word).toString('hex'), Buffer.from(word).toString('base64')]) {
          const at = spot.indexOf(form);
          assert.equal(at, -1, spot.slice(Math.max(0, at - 200), at + 100));
        }
      }
    }
  });

  // Last: what it shows is in the records from then on.
  it('the policy switches masking of results off and on', async () => {
    await admin.policy({ redact_secrets_in_output: 'disabled' });
    const open = await callUntil('tells', { how: 'text' }, (a) => a.kind === 'ok' && !text(a).includes('REDACTED'));
    assert.equal(text(open), `the value is ${revealed}`);
    await admin.policy({ redact_secrets_in_output: 'enabled' });
    await callUntil('tells', { how: 'text' }, (a) => a.kind === 'ok' && text(a).includes('REDACTED'));
  });
});
