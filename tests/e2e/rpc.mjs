// Modern MCP requests by hand, for what an SDK would never send or would hide.
const version = '2026-07-28';

export function envelope(method, params = {}, id = 1) {
  return {
    jsonrpc: '2.0',
    id,
    method,
    params: {
      ...params,
      _meta: {
        'io.modelcontextprotocol/protocolVersion': version,
        'io.modelcontextprotocol/clientInfo': { name: 'e2e', version: '1' },
        'io.modelcontextprotocol/clientCapabilities': {},
        ...params._meta,
      },
    },
  };
}

export function headersFor(message) {
  return {
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    'mcp-protocol-version': version,
    'mcp-method': message.method,
    ...(message.params?.name ? { 'mcp-name': message.params.name } : {}),
  };
}

// The last JSON-RPC message of a JSON or SSE answer.
function lastMessage(type, text) {
  if (!type?.startsWith('text/event-stream')) return text ? JSON.parse(text) : undefined;
  const data = text.split('\n').filter((line) => line.startsWith('data: ') && line.length > 6);
  return JSON.parse(data.at(-1).slice(6));
}

// Posts bytes or an object; {status, message, headers}.
export async function post(url, body, { headers, timeoutMs = 30_000 } = {}) {
  const response = await fetch(url, {
    method: 'POST',
    headers: headers ?? headersFor(body),
    body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
    signal: AbortSignal.timeout(timeoutMs),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    message: lastMessage(response.headers.get('content-type'), text),
  };
}

// tools/call as one of: {kind: 'ok', result}, {kind: 'error', text} for an answer that says why not,
// {kind: 'lost', text} when the connection broke; always with ms.
export async function callTool(url, name, args, timeoutMs) {
  const started = performance.now();
  const ended = (outcome) => ({ ...outcome, ms: performance.now() - started });
  try {
    const { message } = await post(url, envelope('tools/call', { name, arguments: args }), { timeoutMs });
    if (message.error) return ended({ kind: 'error', text: message.error.message });
    const { result } = message;
    if (result.isError) return ended({ kind: 'error', text: result.content[0].text });
    return ended({ kind: 'ok', result });
  } catch (error) {
    return ended({ kind: error.name === 'TimeoutError' ? 'hang' : 'lost', text: String(error.cause ?? error) });
  }
}
