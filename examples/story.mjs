// The life of one tool, from nothing to a call, as an LLM and a person live it together.
//   node story.mjs [legacy|modern]
// README.md says what to start before.
import { pathToFileURL } from 'node:url';
import { Admin } from './admin.mjs';
import { connect } from './clients.mjs';
import { host } from './status-server.mjs';

export const toolCode = `async def main() -> dict:
    """Whether the service is up, as its status page says."""
    response = await http.get("https://${host}/api/v2/status.json")
    return response.json()
`;

// Runs `attempt` and returns the text of its refusal; that it was not refused is an error.
export async function refusalOf(attempt) {
  let value;
  try {
    value = await attempt();
  } catch (error) {
    return error.message;
  }
  if (value?.isError) return value.content[0].text;
  throw new Error(`was not refused: ${JSON.stringify(value)}`);
}

// An approval is in force everywhere within a second; a call in between may still be refused.
export async function callUntil(box, name, accept, timeoutMs = 3000) {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const result = await box.call(name);
    if (accept(result) || Date.now() > end) return result;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export async function runStory({ era, mcp, admin, say = console.log }) {
  const box = await connect(era, mcp);
  say(`connected as a ${era} client; tools: ${(await box.names()).length}`);

  const server = await box.manage('create_server', { name: 'news', description: 'What is up' });
  const tool = await box.manage('create_tool', {
    server_id: server.id,
    name: 'service_status',
    python_code: toolCode,
  });
  say(`created server ${server.id} and tool ${tool.id}`);

  const verdict = await box.manage('validate_code', { code: toolCode });
  say(`validate_code: valid=${verdict.valid}`);
  const testRefusal = await refusalOf(() => box.manage('test_code', { tool_id: tool.id }));
  say(`test_code before approval: ${testRefusal}`);

  await box.manage('request_network_access', {
    tool_id: tool.id,
    host,
    justification: 'The status page that the tool reads',
  });
  await box.manage('request_publish', { tool_id: tool.id, notes: 'Reads one public page' });
  const waiting = await box.manage('get_tool_status', { tool_id: tool.id });
  say(`status: ${waiting.approval_status}, network: ${waiting.network_access_requests[0].status}`);

  const pendingTool = await admin.pendingTool('service_status');
  say(`a person reads:\n${pendingTool.python_code}`);
  await admin.approveTool(pendingTool);

  const changesBefore = box.changes.seen;
  await box.manage('start_server', { server_id: server.id });
  await box.changes.after(changesBefore);
  const listed = await box.names();
  say(`tools/list_changed came; listed first: ${listed[0]}`);

  const denied = await refusalOf(() => box.call('service_status'));
  say(`call without the host's approval: ${denied}`);
  const pendingHost = await admin.pendingHost(host);
  await admin.approveHost(pendingHost);

  const result = await callUntil(box, 'service_status', (answer) => !answer.isError);
  say(`call: ${result.content[0].text}`);
  return { box, server, tool, verdict, testRefusal, waiting, pendingTool, pendingHost, listed, denied, result };
}

async function main([era = 'modern', ...more]) {
  const { MCPBOX_GATEWAY_PORT = 8000, MCPBOX_ADMIN_PORT = 3000 } = process.env;
  const { MCPBOX_USER = 'admin', MCPBOX_PASSWORD } = process.env;
  if (!['legacy', 'modern'].includes(era) || more.length) throw new Error('usage: node story.mjs [legacy|modern]');
  if (!MCPBOX_PASSWORD) throw new Error('MCPBOX_PASSWORD is not set: the admin\'s, 12 characters or more');
  const admin = new Admin(`http://127.0.0.1:${MCPBOX_ADMIN_PORT}`);
  await admin.setup(MCPBOX_USER, MCPBOX_PASSWORD);
  await admin.login(MCPBOX_USER, MCPBOX_PASSWORD);
  const { box, result } = await runStory({
    era,
    mcp: `http://127.0.0.1:${MCPBOX_GATEWAY_PORT}/mcp`,
    admin,
  });
  await box.close();
  process.exit(result.isError ? 1 : 0);
}

// One line instead of a stack: most often MCPBox does not run there.
function complain(error) {
  const cause = error.cause?.code ?? error.cause?.message;
  const hint = 'does ./mcpbox status say that it runs, and are MCPBOX_GATEWAY_PORT and MCPBOX_ADMIN_PORT its ports?';
  console.error(`story: ${error.message}${cause ? ` (${cause}); ${hint}` : ''}`);
  process.exit(1);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await main(process.argv.slice(2)).catch(complain);
