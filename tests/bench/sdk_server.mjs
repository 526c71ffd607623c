// The same tool on the official TypeScript SDK, in-process: what MCPBox is measured against.
//   node sdk_server.mjs v1-example | v1-session | v1-stateless | v2-session | v2-stateless
// Prints its port when it listens.  "example" is what the SDK's own example does: express, and answers as event
// streams; the others are tuned: node's bare HTTP server, answers as plain JSON.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { NodeStreamableHTTPServerTransport as TransportV2 } from '@modelcontextprotocol/node';
import { createMcpExpressApp } from '@modelcontextprotocol/sdk/server/express.js';
import { McpServer as ServerV1 } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport as TransportV1 } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { McpServer as ServerV2 } from '@modelcontextprotocol/server';
import { z } from 'zod';

const info = { name: 'bench', version: '1.0.0' };
const description = 'Greets';
const greet = async ({ name }) => ({ content: [{ type: 'text', text: `hello ${name}` }] });

function serverV1() {
  const server = new ServerV1(info);
  server.registerTool('hello', { description, inputSchema: { name: z.string() } }, greet);
  return server;
}

function serverV2() {
  const server = new ServerV2(info);
  server.registerTool('hello', { description, inputSchema: z.object({ name: z.string() }) }, greet);
  return server;
}

const [generation, form] = (process.argv[2] ?? '').split('-');
const [makeServer, Transport] = { v1: [serverV1, TransportV1], v2: [serverV2, TransportV2] }[generation];
const sessions = new Map();

// A server and a transport per request, as the SDK's own stateless example does.
async function stateless(request, response) {
  const server = makeServer();
  const transport = new Transport({ sessionIdGenerator: undefined, enableJsonResponse: true });
  response.on('close', () => {
    transport.close();
    server.close();
  });
  await server.connect(transport);
  await transport.handleRequest(request, response);
}

// A server and a transport per session, kept as the SDK's own example keeps them.
async function session(request, response, body) {
  let transport = sessions.get(request.headers['mcp-session-id']);
  if (!transport) {
    transport = new Transport({
      sessionIdGenerator: randomUUID,
      enableJsonResponse: form !== 'example',
      onsessioninitialized: (id) => sessions.set(id, transport),
    });
    await makeServer().connect(transport);
  }
  await transport.handleRequest(request, response, body);
}

function example() {
  const app = createMcpExpressApp();
  app.post('/mcp', (request, response) => session(request, response, request.body));
  return app;
}

const listeners = { example, session: () => (request, response) => session(request, response), stateless: () => stateless };
const http = createServer(listeners[form]());
http.listen(0, '127.0.0.1', () => console.log(http.address().port));
