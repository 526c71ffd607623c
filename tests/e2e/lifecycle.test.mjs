// What ./mcpbox promises about starting, stopping, repairing and who may read what.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
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
    nothing.remove();
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

  it('a setting that a service refuses is never stored, not even at the first start', () => {
    const bad = instance.run('up', [], { environment: { ...instance.environment, MCPBOX_STALE_MAX: 'soon' } });
    assert.equal(bad.status, 1);
    assert.match(bad.stderr, /nothing was changed:\nMCPBOX_STALE_MAX: bad value: soon/);
    const good = instance.run('up', [], { environment: instance.environment });
    assert.equal(good.status, 0, good.stderr);
    assert.doesNotMatch(readFileSync(join(instance.data, 'config.env'), 'utf8'), /STALE/);
  });

  it('what up refuses leaves a healthy instance and its settings alone', async () => {
    const config = () => readFileSync(join(instance.data, 'config.env'), 'utf8');
    const pids = () => instance.status().services.map(({ pid }) => pid);
    const holder = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => holder.once('listening', resolve));
    const taken = holder.address().port;
    const before = [config(), pids()];
    const refusals = [
      [{ MCPBOX_STALE_MAX: 'banana' }, /MCPBOX_STALE_MAX: bad value: banana/],
      [{ MCPBOX_LOG_LEVEL: 'loud' }, /MCPBOX_LOG_LEVEL: unknown level: loud/],
      [{ MCPBOX_LISTEN_HOST: 'banana' }, /MCPBOX_LISTEN_HOST=banana is no address/],
      [{ MCPBOX_GATEWAY_PORT: String(taken) }, new RegExp(`port ${taken} is in use by .*${process.pid}`)],
      [{ MCPBOX_GATEWAY_PORT: String(instance.adminPort) }, /is in use by mcpbox-admin/],
      [{ MCPBOX_ADMIN_PORT: '65536' }, /MCPBOX_ADMIN_PORT=65536 is no port/],
      [{ MCPBOX_ADMIN_PORT: '0' }, /MCPBOX_ADMIN_PORT=0 is no port/],
      [{ MCPBOX_REGISTRY_ADDR: `127.0.0.1:${taken}` }, /MCPBOX_REGISTRY_ADDR/],
      [{ MCPBOX_REGISTRY_ADDR: 'banana' }, /MCPBOX_REGISTRY_ADDR=banana/],
      [{ MCPBOX_EGRESS_CA_FILE: '/nonexistent' }, /MCPBOX_EGRESS_CA_FILE=\/nonexistent/],
      [{ MCPBOX_GATEWAY_PORT: '22' }, /MCPBOX_GATEWAY_PORT=22: only root/],
      [{ MCPBOX_SANDBOX_MIN: 'seccomp,foo' }, /MCPBOX_SANDBOX_MIN: no layer 'foo'/],
      [{ MCPBOX_MODULE_DIRS: '/nonexistent' }, /MCPBOX_MODULE_DIRS: '\/nonexistent': No such file/],
      [{ MCPBOX_MODULE_DIRS: instance.data + '/ctl' }, isRoot ? /MCPBOX_MODULE_DIRS: .*Permission denied/ : null],
      [{ MCPBOX_EGRESS_DNS: 'nonsense' }, /MCPBOX_EGRESS_DNS: 'nonsense' is not/],
      [{ MCPBOX_EGRESS_PINNED_HOSTS: 'a.b=999.1.1.1' }, /MCPBOX_EGRESS_PINNED_HOSTS: 'a\.b=999/],
      [{ MCPBOX_CORS_ORIGINS: 'bad' }, /MCPBOX_CORS_ORIGINS: 'bad' is no origin/],
    ];
    for (const [environment, told] of refusals.filter(([, expected]) => expected)) {
      const refused = instance.run('up', [], { environment });
      assert.equal(refused.status, 1, JSON.stringify(environment));
      assert.match(refused.stderr, told);
      assert.deepEqual([config(), pids()], before, JSON.stringify(environment));
    }
    await new Promise((resolve) => holder.close(resolve));
    assert.equal(instance.run('status').status, 0);
  });

  it('a wrong command line is told in one line, before anything is made', () => {
    const nothing = join(instance.data, 'nothing');
    const lines = [
      [['up', '--executors'], /--executors wants a value/],
      [['up', '--executors', 'zz'], /--executors wants a number from 1 to 9, not 'zz'/],
      [['up', '--build'], /--build wants a value/],
      [['up', '--build', 'nope'], /not 'nope'/],
      [['up', '--frob'], /unknown argument --frob/],
      [['status', '--data'], /--data wants a directory/],
      [['status', '--data='], /--data wants a directory/],
      [['frob'], /there is no command 'frob'/],
    ];
    for (const [line, told] of lines) {
      const refused = spawnSync(join(REPO, 'mcpbox'), ['--data', nothing, ...line], { encoding: 'utf8' });
      assert.equal(refused.status, 2, line.join(' '));
      assert.match(refused.stderr, told);
      assert.equal(refused.stderr.trim().split('\n').length, 1, refused.stderr);
    }
    for (const command of ['up', 'down', 'status', 'logs', 'test']) {
      const help = spawnSync(join(REPO, 'mcpbox'), [command, '--help'], { encoding: 'utf8' });
      assert.equal(help.status, 0);
      assert.match(help.stdout, /^usage: /);
    }
    const spaced = spawnSync(join(REPO, 'mcpbox'), ['up', '--data', `${nothing} too`], { encoding: 'utf8' });
    assert.equal(spaced.status, 1);
    assert.match(spaced.stderr, /cannot be a data directory/);
    assert.ok(!existsSync(nothing) && !existsSync(`${nothing} too`));
  });

  it('to another user an instance is somebody else\'s', { skip: !isRoot && 'as root only' }, () => {
    const copy = readableCopy();
    for (const command of ['up', 'down', 'status', 'logs', 'psql']) {
      const refused = spawnSync('setpriv', ['--reuid', 'nobody', '--regid', 'nogroup', '--clear-groups', '--',
        join(copy, 'mcpbox'), command, '--data', instance.data], { encoding: 'utf8' });
      assert.equal(refused.status, 1, command);
      assert.match(refused.stderr, /^mcpbox: the instance under \S+ belongs to root; use sudo or another --data\n$/);
    }
    rmSync(copy, { recursive: true });
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
    const missing = Object.keys(status.executors[0].layers).filter((name) => !status.executors[0].layers[name]);
    assert.deepEqual(Object.keys(status.executors[0].missing).sort(), missing.sort());
    const shown = instance.run('status', ['-v']).stdout;
    assert.match(shown, /EXECUTOR +IN USE +seccomp +landlock +userns +pidns +mountns +netns +cgroup/);
    for (const name of missing) assert.match(shown, new RegExp(`  no .*${name}.*: .+`));
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
    for (const { time } of lines) assert.match(time, /^\d{4}-/);
    const unknown = instance.run('logs', ['nobody']);
    assert.equal(unknown.status, 2);
    assert.match(unknown.stderr, /no log of nobody; there are: .*gateway/);
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
