// A stand-in for https://status.example.com on this machine: its own certificate authority, a certificate
// for that name, and one answer.  Run by itself it prints how to tell MCPBox about it.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export const host = 'status.example.com';

function openssl(...args) {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

// Returns {dir} and the paths of {ca, key, cert}, all made anew in that directory.
function makeCertificates() {
  const dir = mkdtempSync(join(tmpdir(), 'mcpbox-status-'));
  const at = (name) => join(dir, name);
  chmodSync(dir, 0o755);
  openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '7',
    '-subj', '/CN=MCPBox example CA', '-keyout', at('ca.key'), '-out', at('ca.pem'));
  openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
    '-subj', `/CN=${host}`, '-keyout', at('server.key'), '-out', at('server.csr'));
  writeFileSync(at('names'), `subjectAltName=DNS:${host}\n`);
  openssl('x509', '-req', '-days', '7', '-in', at('server.csr'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'),
    '-CAcreateserial', '-extfile', at('names'), '-out', at('server.pem'));
  return { dir, ca: at('ca.pem'), key: at('server.key'), cert: at('server.pem') };
}

// Starts it; `requests` collects {method, path, servername} of what really arrived.
export async function startStatusServer(port = 0) {
  const files = makeCertificates();
  const requests = [];
  const server = createServer(
    { key: readFileSync(files.key), cert: readFileSync(files.cert) },
    (request, response) => {
      requests.push({ method: request.method, path: request.url, servername: request.socket.servername });
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ status: { indicator: 'none', description: 'All systems operational' } }));
    },
  );
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  const address = `127.0.0.1:${server.address().port}`;
  return {
    requests,
    environment: {
      MCPBOX_EGRESS_CA_FILE: files.ca,
      MCPBOX_EGRESS_PINNED_HOSTS: `${host}=${address}`,
    },
    close: () => {
      server.closeAllConnections();
      server.close();
      rmSync(files.dir, { recursive: true, force: true });
    },
  };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { environment, close } = await startStatusServer();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, close);
  const settings = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  console.log(`${host} answers on this machine.  In another terminal:\n\n  ${settings.join(' ')} ./mcpbox up\n`);
}
