// Secrets through the whole stack: what tools, hosts, logs and the database get to see of them.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync, statSync } from 'node:fs';
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
  sends: `import base64
async def main(url: str, place: str, key: str = "HIDDEN"):
    token = secrets[key]
    if place == "bearer":
        answer = await http.get(url, headers={"Authorization": "Bearer " + token})
    elif place == "basic":
        answer = await http.get(url, auth=("ada", token))
    elif place == "query":
        answer = await http.get(url, params={"a": "1", "key": token})
    elif place == "path":
        answer = await http.get(url + "/bot" + token + "/send")
    elif place == "form":
        answer = await http.post(url, data={"key": token, "x": "y"})
    elif place == "json":
        answer = await http.post(url, json={"key": token})
    elif place == "text":
        answer = await http.post(url, content="key " + token)
    elif place == "stale":
        answer = await http.get(url, headers={"X": token[:-1] + ("0" if token[-1] != "0" else "1")})
    elif place == "follow":
        answer = await http.get(url, headers={"X-Key": token}, follow_redirects=True)
    return {"status": answer.status_code, "headers": dict(answer.headers), "text": answer.text, "token": token}
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

  // The path says how; what came as X-Key or Bearer is the value.
  answer(seen, response) {
    const value = seen.headers['x-key'] ?? seen.headers.authorization?.replace(/^Bearer /, '') ?? '';
    const raw = Buffer.from(value, seen.url === '/echo' ? 'latin1' : 'utf8');
    if (seen.url === '/echo') {
      response.setHeader('X-Seen', value);
      response.setHeader('Location', `https://other.example.com/?k=${encodeURIComponent(value)}`);
      response.end(Buffer.concat([Buffer.from('<'), raw, Buffer.from('>')]));
    } else if (seen.url === '/chunks') {
      response.write(raw.subarray(0, 3));
      setTimeout(() => response.write(raw.subarray(3, 9)), 20);
      setTimeout(() => response.end(raw.subarray(9)), 40);
    } else if (seen.url === '/coded') {
      response.end([raw.toString('base64'), `x${raw}`, encodeURIComponent(value), JSON.stringify(value),
        Buffer.concat([Buffer.from('user:'), raw]).toString('base64url')].join('\n'));
    } else if (seen.url === '/away') {
      response.writeHead(302, { location: 'http://other.example.com/landed' }).end();
    } else {
      response.end('{}');
    }
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
      MCPBOX_EGRESS_PINNED_HOSTS: ['bound', 'other', 'third'].map((name) => `${name}.example.com=127.0.0.1:${port}`).join(','),
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

  async function until(find, what) {
    const end = Date.now() + 10_000;
    while (!(await find())) {
      assert.ok(Date.now() < end, what);
      await new Promise((resolve) => setTimeout(resolve, 50));
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

  describe('injected on the way out', () => {
    const hidden = 'never-seen-by-code "ü/&=%+ 1';
    const url = (path = '') => `http://bound.example.com${path}`;
    const send = (args) => callTool(instance.mcp, 'sends', { url: url(), ...args });
    const last = () => origin.requests.at(-1);

    before(async () => {
      for (const host of ['bound.example.com', 'other.example.com']) {
        await admin.request('POST', `/api/servers/${server.id}/allowed-hosts`, { host });
      }
      await set('HIDDEN', { value: hidden, hosts: ['bound.example.com'], places: ['header', 'query', 'path', 'body'] });
      await callUntil('sends', { url: url(), place: 'bearer' }, ({ kind }) => kind === 'ok' && last()?.headers.authorization?.includes('never'));
    });

    for (const [place, found] of [
      ['bearer', () => Buffer.from(last().headers.authorization.slice(7), 'latin1').toString('latin1') === hidden],
      ['basic', () => Buffer.from(last().headers.authorization.slice(6), 'base64').toString() === `ada:${hidden}`],
      ['query', () => new URL(last().url, 'http://x').searchParams.get('key') === hidden],
      ['path', () => decodeURIComponent(last().url.split('/')[1]) === `bot${hidden}` && last().url.endsWith('/send')],
      ['form', () => new URLSearchParams(last().body).get('key') === hidden],
      ['json', () => JSON.parse(last().body).key === hidden],
    ]) {
      it(`as ${place}`, async () => {
        const answer = await send({ place });
        assert.equal(answer.kind, 'ok', answer.text);
        assert.match(value(answer).token, placeholder);
        assert.ok(found(), JSON.stringify(last()));
      });
    }

    it('not in a body of another kind', async () => {
      const count = origin.requests.length;
      const answer = await send({ place: 'text' });
      assert.match(answer.text, /'HIDDEN' can stand in a body that is a form.* or JSON/s);
      assert.equal(origin.requests.length, count);
    });

    it('to no host and no place that it is not bound to, which is an event', async () => {
      const count = origin.requests.length;
      const host = await send({ url: 'http://other.example.com/', place: 'bearer' });
      assert.match(host.text, /Denied.*'HIDDEN' may not be sent to this host/s);
      await set('HIDDEN', { value: hidden, places: ['header'] });
      const query = await callUntil('sends', { url: url(), place: 'query' }, ({ kind }) => kind === 'error');
      assert.match(query.text, /may not stand in the query/);
      const json = await send({ place: 'json' });
      assert.match(json.text, /may not stand in the body/);
      assert.equal(origin.requests.filter(({ headers }) => headers.host === 'other.example.com').length, 0);
      assert.ok(origin.requests.length >= count);
      await until(
        () => instance.sql("SELECT count(*) FROM egress_requests WHERE decision = 'denied' AND rule = 'secret'") >= 3,
        'each is a record',
      );
    });

    it('which the audit tells, once each', () => {
      const tail = instance.ctl('audit', 'tail', '--no-follow', '--since', '0', '--json', '--topic', 'egress.denied');
      const rows = tail.stdout.trim().split('\n').map((row) => JSON.parse(row)).filter(({ detail }) => detail.rule === 'secret');
      assert.ok(rows.length >= 3, tail.stdout);
      assert.equal(new Set(rows.map(({ detail }) => detail.request_no ?? JSON.stringify(detail))).size, rows.length);
    });

    it('and the answer does not give it back, in headers, across chunks, in other forms', async () => {
      for (const path of ['/echo', '/chunks', '/coded']) {
        const answer = await send({ url: url(path), place: 'bearer' });
        assert.equal(answer.kind, 'ok', answer.text);
        const said = JSON.stringify(answer.result);
        assert.ok(said.includes('[REDACTED]'), said);
        for (const word of ['never', 'bmV2ZXI', 'by-code', 'dmVyLXNl']) assert.ok(!said.includes(word), `${word}: ${said}`);
      }
    });

    it('a redirect to another host takes no value along', async () => {
      const answer = await send({ url: url('/away'), place: 'follow' });
      assert.match(answer.text, /'HIDDEN' may not be sent to this host/);
      assert.ok(last().url === '/away', JSON.stringify(last()));
    });

    it('a placeholder that the call did not get is left as it is, and the record says so', async () => {
      const answer = await send({ place: 'stale' });
      assert.equal(answer.kind, 'ok', answer.text);
      assert.match(last().headers.x, /^mcpbox-secret-/);
      await until(
        () => instance.sql("SELECT count(*) FROM egress_requests WHERE error LIKE '%placeholders that this call did not get%'") !== '0',
        'a record says so',
      );
      assert.notEqual(instance.sql("SELECT count(*) FROM egress_requests WHERE rule LIKE 'bound.example.com (secrets: HIDDEN)'"), '0');
    });

    it('a new value is in force without a restart', async () => {
      await set('HIDDEN', { value: 'never-seen-by-code-2' });
      await callUntil('sends', { url: url(), place: 'bearer' }, () => last().headers.authorization === 'Bearer never-seen-by-code-2');
    });

    it('a rotation of keys under a stream of calls: each finds its value', async () => {
      let running = true;
      const failed = [];
      const stream = (async () => {
        while (running) {
          const seen = await callTool(instance.mcp, 'sees', { key: 'OPEN' });
          if (seen.kind !== 'ok' || value(seen)[0] !== [...revealed].length) failed.push(seen);
          const sent = await send({ place: 'bearer' });
          if (sent.kind !== 'ok' || last().headers.authorization !== 'Bearer never-seen-by-code-2') failed.push(sent);
        }
      })();
      for (const generation of [2, 3]) {
        const done = instance.run('ctl', ['keys', 'rotate', '--json'], { environment: { MCPBOX_TOKEN: token } });
        assert.equal(done.status, 0, done.stderr);
        assert.equal(JSON.parse(done.stdout).generation, generation);
      }
      await until(() => origin.requests.length > 20, 'calls go on');
      running = false;
      await stream;
      assert.deepEqual(failed, []);
    });

    it('bound to no host it goes to those that a person approved, not to those that policy did', async () => {
      await set('HIDDEN', { value: hidden, hosts: ['*'] });
      await callUntil('sends', { url: 'http://other.example.com/', place: 'bearer' }, ({ kind }) => kind === 'ok');
      assert.equal(last().headers.host, 'other.example.com');
      await admin.policy({ network_access_policy: 'allow_all_public' });
      const { tools: list } = await box.manage('list_tools', { server_id: server.id });
      const asked = await box.manage('request_network_access', {
        tool_id: list.find(({ name }) => name === 'sends').id, host: 'third.example.com', justification: 'to try',
      });
      assert.equal(asked.status, 'approved');
      const answer = await callUntil('sends', { url: 'http://third.example.com/', place: 'bearer' }, (a) => !/list of allowed hosts/.test(a.text ?? ''));
      assert.match(answer.text, /'HIDDEN' may not be sent to this host/);
    });
  });

  it('no other server gets any of them', async () => {
    await publish('stranger', { strange: tools.sees });
    const answer = await callUntil('strange', { key: 'OPEN' }, (a) => /no secret/.test(a.text));
    assert.match(answer.text, /no secret 'OPEN'/);
  });

  // As the tests before left it.
  it('reviews show which values the code sees and which it uses', async () => {
    const { items } = await admin.request('GET', '/api/approvals/tools?status=all');
    const seen = items.find((tool) => tool.name === 'sees');
    assert.deepEqual([seen.revealed_secrets, seen.injected_secrets], [['OPEN'], ['HIDDEN']]);
    const shown = instance.run('ctl', ['show', 'keeper/sees'], { environment: { MCPBOX_TOKEN: token } });
    assert.equal(shown.status, 0, shown.stderr);
    assert.match(shown.stdout, /OPEN\s+REVEALED: the code sees its value/);
    assert.match(shown.stdout, /HIDDEN\s+injected; goes to every host that a person approved for the server; in header/);
  });

  it('a deleted secret is gone from the next call on', async () => {
    await create('SHORT_LIVED');
    await set('SHORT_LIVED', { value: 'here today', mode: 'reveal' });
    await callUntil('sees', { key: 'SHORT_LIVED' }, ({ kind }) => kind === 'ok');
    await admin.request('DELETE', secret('SHORT_LIVED'));
    const gone = await callUntil('sees', { key: 'SHORT_LIVED' }, ({ kind }) => kind === 'error');
    assert.match(gone.text, /no secret 'SHORT_LIVED'|revoked/);
  });

  it('no service leaves its memory in a core or to others', () => {
    const services = instance.status().services.filter(({ name }) => name !== 'postgres');
    assert.ok(services.length >= 5);
    for (const { name, pid } of services) {
      const limits = readFileSync(`/proc/${pid}/limits`, 'utf8');
      assert.match(limits, /Max core file size\s+0\s+0\s/, name);
      const uid = Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
      // Of a process that is not dumpable the kernel gives /proc to root.
      if (uid !== 0) assert.equal(statSync(`/proc/${pid}/environ`).uid, 0, name);
    }
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
