// A whole MCPBox of its own for one test: temporary data, free ports, started by ./mcpbox up.
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const repo = resolve(import.meta.dirname, '../..');

function freePort() {
  return new Promise((done) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });
}

// Every live process: {pid, parent, command}.
function processes() {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        if (state === 'Z') return [];
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        return [{ pid: Number(pid), parent: Number(parent), command }];
      } catch {
        return []; // it ended meanwhile
      }
    });
}

export class Instance {
  static async make(environment = {}) {
    const data = mkdtempSync(join(tmpdir(), 'mcpbox-e2e-'));
    chmodSync(data, 0o755);
    const instance = new Instance();
    instance.data = data;
    instance.gatewayPort = await freePort();
    instance.adminPort = await freePort();
    instance.environment = {
      ...environment,
      MCPBOX_GATEWAY_PORT: String(instance.gatewayPort),
      MCPBOX_ADMIN_PORT: String(instance.adminPort),
    };
    return instance;
  }

  get mcp() {
    return `http://127.0.0.1:${this.gatewayPort}/mcp`;
  }

  get adminBase() {
    return `http://127.0.0.1:${this.adminPort}`;
  }

  // Runs ./mcpbox COMMAND on this instance: {status, stdout, stderr}.
  run(command, args = [], { environment = {}, input } = {}) {
    return spawnSync(join(repo, 'mcpbox'), [command, '--data', this.data, ...args], {
      encoding: 'utf8',
      input,
      env: { ...process.env, ...environment },
      maxBuffer: 64 << 20,
    });
  }

  up() {
    const done = this.run('up', [], { environment: this.environment });
    if (done.status !== 0) throw new Error(`up failed (${done.status}):\n${done.stderr}`);
    return done;
  }

  // The second time without the settings: they are remembered.
  upAgain() {
    const done = this.run('up');
    if (done.status !== 0) throw new Error(`second up failed (${done.status}):\n${done.stderr}`);
    return done;
  }

  ctl(...args) {
    return this.run('ctl', args);
  }

  sql(statement) {
    const done = this.run('psql', ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-c', statement]);
    if (done.status !== 0) throw new Error(`psql: ${done.stderr}`);
    return done.stdout.trim();
  }

  status() {
    return JSON.parse(this.run('status', ['--json']).stdout);
  }

  // Connections that the fetch pool keeps from before a kill fail once; this uses them up.
  async reachable() {
    for (let left = 20; left > 0; left -= 1) {
      const answer = await fetch(new URL('/health', this.mcp)).catch(() => undefined);
      if (answer?.ok) return;
    }
    throw new Error('the gateway does not answer');
  }

  supervisorOf(service) {
    const state = readFileSync(join(this.data, 'run', service, `${service}.state`), 'utf8');
    return Number(/^supervisor=(\d+)$/m.exec(state)[1]);
  }

  // JSON lines of `ctl audit tail`, live; `rows` grows until stop().
  followAudit() {
    const child = spawn(join(repo, 'mcpbox'), ['ctl', '--data', this.data, 'audit', 'tail', '--json'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const rows = [];
    let rest = '';
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (chunk) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop();
      rows.push(...lines.filter(Boolean).map((line) => JSON.parse(line)));
    });
    return { rows, stop: () => child.kill('SIGKILL') };
  }

  // This instance's processes: those that name its directory, and their descendants.
  processes() {
    const all = processes();
    const own = new Set(all.filter(({ command }) => command.includes(`${this.data}/`)).map(({ pid }) => pid));
    own.delete(process.pid);
    for (let size = -1; size !== own.size; ) {
      size = own.size;
      for (const { pid, parent } of all) if (own.has(parent)) own.add(pid);
    }
    return [...own];
  }

  killEverything() {
    for (const pid of this.processes()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // its parent's death was faster
      }
    }
  }

  remove() {
    const done = this.run('down', ['--purge']);
    rmSync(this.data, { recursive: true, force: true });
    return done;
  }
}
