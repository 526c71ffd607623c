// A back-up taken while everything runs brings an instance back elsewhere; what does not fit is refused and says why.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Instance } from './instance.mjs';
import { envelope, post } from './rpc.mjs';

const CODE = 'async def main():\n    return f"from the back-up, {len(secrets[\'API_KEY\'])}"\n';
const PASSWORD = 'correct horse battery';

describe('./mcpbox backup and restore', { timeout: 600_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'mcpbox-backup-'));
  const backup = join(folder, 'plain.backup');
  const sealed = join(folder, 'sealed.backup');
  const passphrase = join(folder, 'passphrase');
  const password = join(folder, 'password');
  let old;
  let fresh;
  let key;

  before(async () => {
    writeFileSync(passphrase, 'a long enough passphrase\n');
    writeFileSync(password, `${PASSWORD}\n`);
    old = await Instance.make();
    fresh = await Instance.make();
    old.up();
    key = join(old.data, 'keys/root.key');
  });

  after(() => {
    old.remove();
    fresh.remove();
    rmSync(folder, { recursive: true });
  });

  // A part of a back-up changed, with the sums of its manifest put right or not.
  function damaged(name, change) {
    const parts = mkdtempSync(join(folder, 'parts-'));
    const file = join(folder, `${name}.backup`);
    execFileSync('tar', ['-xf', backup, '-C', parts]);
    change(parts);
    execFileSync('tar', ['-cf', file, '-C', parts, ...readdirSync(parts)]);
    return file;
  }

  const refused = (instance, args, words) => {
    const done = instance.run('restore', args);
    assert.equal(done.status, 1, done.stdout + done.stderr);
    assert.match(done.stderr, words);
  };

  it('a server with a live tool and a secret is there', async () => {
    assert.equal(old.run('ctl', ['setup', '--user', 'anna', '--password-file', password]).status, 0);
    assert.equal(old.run('ctl', ['login', '--user', 'anna', '--password-file', password]).status, 0);
    const { access_token: token } = JSON.parse(readFileSync(join(old.data, 'ctl/token'), 'utf8'));
    const ask = async (method, path, body) => {
      const answer = await fetch(`${old.adminBase}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      const reply = await answer.json();
      assert.ok(answer.ok, JSON.stringify(reply));
      return reply;
    };
    const server = await ask('POST', '/api/servers', { name: 'news' });
    const tool = await ask('POST', `/api/servers/${server.id}/tools`, { name: 'status', python_code: CODE });
    await ask('POST', `/api/servers/${server.id}/secrets`, { key_name: 'API_KEY' });
    await ask('PUT', `/api/servers/${server.id}/secrets/API_KEY`, { value: 'the-value-itself', mode: 'reveal' });
    await ask('POST', `/api/approvals/tools/${tool.id}/action`, { action: 'approve' });
    await ask('POST', `/api/sandbox/servers/${server.id}/start`, {});
    assert.equal(old.run('ctl', ['keys', 'rotate']).status, 0);
  });

  it('is written while everything runs, for the owner alone, and says that the key is needed', () => {
    const done = old.run('ctl', ['backup', backup]);
    assert.equal(done.status, 0, done.stderr);
    assert.match(done.stderr, /root key is NOT in it/);
    assert.equal(statSync(backup).mode & 0o777, 0o600);
    assert.ok(!readFileSync(backup).includes(readFileSync(key, 'utf8').trim()));
    const again = old.run('backup', [backup]);
    assert.equal(again.status, 1);
    assert.match(again.stderr, /exists already/);
    const json = old.run('backup', ['--json', sealed, '--passphrase-file', passphrase]);
    assert.equal(json.status, 0, json.stderr);
    assert.equal(JSON.parse(json.stdout).has_key, true);
    assert.ok(!readFileSync(sealed).includes(readFileSync(key, 'utf8').trim()));
    assert.deepEqual(readdirSync(folder).filter((name) => /\.backup\./.test(name)), [], 'nothing is left lying about');
    assert.equal(old.run('backup').status, 2);
    assert.equal(old.run('backup', ['--help']).status, 0);
  });

  it('refuses what does not fit, and changes nothing', () => {
    refused(old, [backup], /stop it first/);
    refused(fresh, [backup], /root key of the instance that made .* is needed/);
    refused(fresh, [sealed, '--passphrase-file', password], /passphrase does not open/);
    const other = join(folder, 'other.key');
    writeFileSync(other, `${'ab'.repeat(32)}\n`);
    refused(fresh, [backup, '--key-file', other], /another root key/);
    refused(fresh, [password, '--key-file', key], /no back-up of MCPBox/);
    refused(fresh, [damaged('dump', (p) => writeFileSync(join(p, 'database.dump'), 'x')), '--key-file', key], /damaged/);
    const forged = damaged('forged', (p) => {
      const manifest = readFileSync(join(p, 'manifest'), 'utf8');
      writeFileSync(join(p, 'config.env'), 'MCPBOX_STALE_MAX=0\n');
      const sum = execFileSync('sha256sum', [join(p, 'config.env')], { encoding: 'utf8' }).split(' ')[0];
      writeFileSync(join(p, 'manifest'), manifest.replace(/config.env .*/, `config.env ${sum}`));
    });
    refused(fresh, [forged, '--key-file', key], /was changed since/);
    const newer = damaged('newer', (p) => {
      const manifest = readFileSync(join(p, 'manifest'), 'utf8');
      writeFileSync(join(p, 'manifest'), manifest.replace(/^schema .*/m, 'schema 999999'));
    });
    refused(fresh, [newer, '--key-file', key], /schema 999999.*that version or a newer one/);
    assert.ok(!existsSync(join(fresh.data, 'pg/data')), 'no database was made');
  });

  it('brings the instance back elsewhere: tools run, secrets open, the chain is intact', async () => {
    const done = fresh.run('restore', [sealed, '--passphrase-file', passphrase]);
    assert.equal(done.status, 0, done.stderr);
    fresh.up();
    assert.equal(readFileSync(join(fresh.data, 'keys/root.key'), 'utf8'), readFileSync(key, 'utf8'));
    const verified = JSON.parse(fresh.run('ctl', ['audit', 'verify', '--json']).stdout);
    assert.equal(verified.intact, true);
    assert.equal(fresh.run('psql', ['-XAtc', 'SELECT count(*) FROM sessions']).stdout, '0\n', 'nobody is logged in');
    const call = envelope('tools/call', { name: 'status', arguments: {} });
    const { message } = await post(`${fresh.mcp}/news`, call);
    assert.equal(message.result.content[0].text, 'from the back-up, 16');
    assert.equal(fresh.run('ctl', ['login', '--user', 'anna', '--password-file', password]).status, 0);
  });

  it('does not replace what is there unless told to, and keeps it then', () => {
    fresh.run('ctl', ['user', 'add', 'bert', '--password-file', password]);
    assert.equal(fresh.run('down').status, 0);
    refused(fresh, [backup], /holds 1 servers and 2 users; --force replaces them/);
    const done = fresh.run('restore', ['--force', backup]);
    assert.equal(done.status, 0, done.stderr);
    const kept = join(fresh.data, 'dumps', readdirSync(join(fresh.data, 'dumps'))[0]);
    assert.match(kept, /before-restore\.backup$/);
    assert.equal(statSync(kept).mode & 0o777, 0o600);
    fresh.upAgain();
    assert.equal(fresh.run('psql', ['-XAtc', 'SELECT count(*) FROM users']).stdout, '1\n');
    fresh.run('down');
    assert.equal(fresh.run('restore', ['--force', kept]).status, 0, 'a dump is a back-up');
    fresh.upAgain();
    assert.equal(fresh.run('psql', ['-XAtc', 'SELECT count(*) FROM users']).stdout, '2\n');
  });

  it('dumps before a migration and refuses data of a newer version', () => {
    const taken = fresh.run('psql', ['-XAtc', 'SELECT max(number) FROM schema_migrations']).stdout.trim();
    fresh.run('psql', ['-qc', `INSERT INTO schema_migrations (number, name, hash) VALUES (${Number(taken) + 1}, 'later', 'x')`]);
    const newer = fresh.run('up');
    assert.equal(newer.status, 1);
    assert.match(newer.stderr, /a newer MCPBox made it/);
    assert.match(newer.stderr, /restore .*--force .*\.backup/);
    fresh.run('psql', ['-qc', `DELETE FROM schema_migrations WHERE number > ${taken}`]);
    const before = readdirSync(join(fresh.data, 'dumps')).length;
    fresh.run('psql', ['-qc', `DELETE FROM schema_migrations WHERE number = ${taken}`]);
    // The registry then fails, for what that migration makes is there already; here the dump is what counts.
    const older = fresh.run('up');
    assert.match(older.stderr, new RegExp(`schema ${taken - 1} is going to become ${taken}; what was there is in .*schema-${taken - 1}.backup`));
    assert.equal(readdirSync(join(fresh.data, 'dumps')).length, before + 1);
  });

  it('says so when the root key is lost', () => {
    const saved = readFileSync(key);
    old.run('down');
    rmSync(key);
    const lost = old.run('up');
    assert.equal(lost.status, 1);
    assert.match(lost.stderr, /root key .* is gone.*Nothing was changed/s);
    assert.ok(!existsSync(key), 'no new key was made');
    const file = join(folder, 'kept.key');
    writeFileSync(file, saved);
    const back = spawnSync(join(import.meta.dirname, '../../mcpbox'), ['up', '--data', old.data],
      { encoding: 'utf8', env: { ...process.env, MCPBOX_ENCRYPTION_KEY_FILE: file } });
    assert.equal(back.status, 0, back.stderr);
  });
});
