// One way to connect for both eras of MCP, each with its official SDK:
//   legacy  @modelcontextprotocol/sdk 1.x     initialize, a session, notifications on a GET stream
//   modern  @modelcontextprotocol/client 2.x  2026-07-28: no session, notifications on subscriptions/listen
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as LegacyTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ToolListChangedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import {
  Client as ModernClient,
  StreamableHTTPClientTransport as ModernTransport,
} from '@modelcontextprotocol/client';

const info = { name: 'mcpbox-example', version: '1.0.0' };

async function connectLegacy(url, onListChanged) {
  const client = new LegacyClient(info);
  client.setNotificationHandler(ToolListChangedNotificationSchema, onListChanged);
  await client.connect(new LegacyTransport(url));
  return client;
}

async function connectModern(url, onListChanged) {
  const client = new ModernClient(info, { versionNegotiation: { mode: { pin: '2026-07-28' } } });
  client.setNotificationHandler('notifications/tools/list_changed', onListChanged);
  await client.connect(new ModernTransport(url));
  await client.listen({ toolsListChanged: true });
  return client;
}

// Counts notifications, so that one which came before the wait is not missed.
class Changes {
  seen = 0;
  waiters = [];

  arrived = () => {
    this.seen += 1;
    this.waiters.splice(0).forEach((wake) => wake());
  };

  async after(count, timeoutMs = 10_000) {
    const deadline = AbortSignal.timeout(timeoutMs);
    while (this.seen <= count) {
      await new Promise((resolve, reject) => {
        this.waiters.push(resolve);
        deadline.addEventListener('abort', () => reject(new Error('no tools/list_changed came')));
      });
    }
  }
}

// connect('legacy' | 'modern', url) gives a box: call tools by name and get plain values.
export async function connect(era, url) {
  const changes = new Changes();
  const open = era === 'modern' ? connectModern : connectLegacy;
  const client = await open(new URL(url), changes.arrived);
  return {
    client,
    changes,
    close: () => client.close(),
    names: async () => (await client.listTools()).tools.map((tool) => tool.name),
    // The raw result: {content, structuredContent?, isError?}.
    call: (name, args = {}) => client.callTool({ name, arguments: args }),
    // A management tool: its JSON, or an Error with the text of its refusal.
    manage: async (name, args = {}) => {
      const result = await client.callTool({ name: `mcpbox_${name}`, arguments: args });
      const text = result.content[0].text;
      if (result.isError) throw new Error(text);
      return JSON.parse(text);
    },
  };
}
