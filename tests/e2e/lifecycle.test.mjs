// What ./mcpbox promises about starting, stopping, repairing and who may read what.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Instance } from './instance.mjs';

const isRoot = process.getuid() === 0;
const REPO = join(import.meta.dirname, '../..');

// What is built, where every user may read it: the clone itself may lie below a closed folder.
function readableCopy() {
  const copy = mkdtempSync(join(tmpdir(), 'mcpbox-copy-'));
  for (const part of ['mcpbox', 'deploy', 'build/release/stage']) {
    cpSync(join(REPO, part), join(copy, part), { recursive: true });
  }
  chmodSync(copy, 0o755);
  return copy;
}

describe('./mcpbox', { timeout: 240_000 }, () => {
  let instance;

  before(async () => {
    instance = await Instance.make();
  });

  after(() => instance.remove());

  it('down and status on nothing: idempotent, and not healthy', async () => {
    const nothing = await Instance.make();
    assert.equal(nothing.run('down').status, 0);
    assert.notEqual(nothing.run('status').status, 0);
    assert.equal(JSON.parse(nothing.run('status', ['--json']).stdout).healthy, false);
  });

  it('a port in use is named, with who has it', async () => {
    const holder = createServer().listen(instance.gatewayPort, '127.0.0.1');
    await new Promise((resolve) => holder.once('listening', resolve));
    const refused = instance.run('up', [], { environment: instance.environment });
    assert.equal(refused.status, 1);
    assert.ok(refused.stderr.includes(`port ${instance.gatewayPort} is in use`), refused.stderr);
    assert.ok(refused.stderr.includes(String(process.pid)), refused.stderr);
    await new Promise((resolve) => holder.close(resolve));
  });

  it('a bad setting ends up with the failing service and its last log lines', () => {
    const bad = instance.run('up', [], { environment: { ...instance.environment, MCPBOX_STALE_MAX: 'soon' } });
    assert.equal(bad.status, 1);
    assert.match(bad.stderr, /did not start; its last log lines/);
    assert.match(bad.stderr, /MCPBOX_STALE_MAX/);
    const good = instance.run('up', [], { environment: { MCPBOX_STALE_MAX: '' } });
    assert.equal(good.status, 0, good.stderr);
    assert.doesNotMatch(readFileSync(join(instance.data, 'config.env'), 'utf8'), /STALE/);
  });

  it('status --json has the documented shape', () => {
    const status = instance.status();
    assert.equal(status.healthy, true);
    assert.deepEqual(
      status.services.map(({ name }) => name).sort(),
      ['admin', 'egress-proxy', 'executor', 'gateway', 'postgres', 'registry'],
    );
    for (const service of status.services) {
      assert.ok(service.pid > 1 && service.healthy && service.version, JSON.stringify(service));
      assert.match(service.since, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    }
    assert.equal(status.executors.length, 1);
    assert.ok(status.executors[0].capacity > 0);
    assert.equal(status.executors[0].layers.seccomp, true);
    assert.ok(status.executors[0].layers.landlock);
  });

  it('nothing runs as root, and each key has one reader', { skip: !isRoot && 'as root only' }, () => {
    for (const pid of instance.processes()) {
      const uids = /^Uid:\s+(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1].split('\t').map(Number);
      assert.ok(uids.every((uid) => uid !== 0), `${pid}: ${uids}`);
    }
    const owners = ['root', 'gateway', 'executor', 'egress', 'admin'].map((role) => {
      const { uid, mode } = statSync(join(instance.data, 'keys', `${role}.key`));
      assert.equal(mode & 0o077, 0, `${role}.key is its owner's alone`);
      assert.notEqual(uid, 0);
      return uid;
    });
    assert.equal(new Set(owners).size, owners.length);
  });

  it('listens on loopback only', () => {
    const own = new Set(instance.processes().map(String));
    const lines = execFileSync('ss', ['-Hltnp'], { encoding: 'utf8' }).split('\n')
      .filter((line) => [...line.matchAll(/pid=(\d+)/g)].some(([, pid]) => own.has(pid)));
    assert.ok(lines.length >= 4);
    for (const line of lines) assert.match(line.trim().split(/\s+/)[3], /^127\./);
  });

  it('up repairs a half-dead instance and leaves the rest alone', () => {
    const before = instance.status();
    for (const name of ['gateway', 'registry']) process.kill(instance.supervisorOf(name), 'SIGKILL');
    assert.notEqual(instance.run('status').status, 0);
    instance.upAgain();
    const pid = (status, name) => status.services.find((service) => service.name === name).pid;
    const now = instance.status();
    assert.equal(now.healthy, true);
    assert.equal(pid(now, 'postgres'), pid(before, 'postgres'));
    assert.equal(pid(now, 'admin'), pid(before, 'admin'));
    assert.notEqual(pid(now, 'gateway'), pid(before, 'gateway'));
  });

  it('--executors changes their number', async () => {
    for (const count of [2, 1]) {
      const done = instance.run('up', ['--executors', String(count)]);
      assert.equal(done.status, 0, done.stderr);
      const end = Date.now() + 10_000;
      while (instance.status().executors.length !== count && Date.now() < end) {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      assert.equal(instance.status().executors.length, count);
    }
  });

  it('logs are JSON lines of all services', () => {
    const lines = instance.run('logs').stdout.trim().split('\n').map((line) => JSON.parse(line));
    const services = new Set(lines.map(({ service }) => service));
    for (const name of ['registry', 'gateway', 'executor', 'admin', 'postgres', 'supervisor']) {
      assert.ok(services.has(name), `${name} is missing in ${[...services]}`);
    }
    assert.notEqual(instance.run('logs', ['nobody']).status, 0);
  });

  it('psql reaches the database of the instance', () => {
    assert.equal(instance.sql('SELECT current_database()'), 'mcpbox');
  });

  it('a key that is not the stored one is refused', () => {
    const refused = instance.run('up', [], { environment: { MCPBOX_ENCRYPTION_KEY: 'ab'.repeat(32) } });
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /MCPBOX_ENCRYPTION_KEY/);
  });

  it('runs as an ordinary user, beside the other instance', { skip: !isRoot && 'is one already' }, async () => {
    const other = await Instance.make();
    const copy = readableCopy();
    const uid = Number(execFileSync('id', ['-u', 'nobody'], { encoding: 'utf8' }));
    chownSync(other.data, uid, uid);
    const as = (command, ...args) => spawnSync('setpriv', [
      '--reuid', 'nobody', '--regid', 'nogroup', '--clear-groups', '--',
      join(copy, 'mcpbox'), command, '--data', other.data, ...args,
    ], { encoding: 'utf8', env: { ...process.env, ...other.environment, HOME: other.data } });
    try {
      const up = as('up');
      assert.equal(up.status, 0, up.stderr);
      const status = as('status', '--json');
      assert.equal(JSON.parse(status.stdout).accounts, 'shared');
      assert.equal(status.status, 0, status.stdout);
      assert.equal(instance.run('status').status, 0);
    } finally {
      assert.equal(as('down', '--purge').status, 0);
      rmSync(copy, { recursive: true });
    }
  });
});
