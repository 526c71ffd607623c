// The person's side: REST on the admin port.
export class Admin {
  #token;

  constructor(base) {
    this.base = base;
  }

  async request(method, path, body) {
    const response = await fetch(new URL(path, this.base), {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(this.#token ? { authorization: `Bearer ${this.#token}` } : {}),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    const value = text ? JSON.parse(text) : undefined;
    if (!response.ok) {
      throw Object.assign(new Error(`${method} ${path}: ${response.status} ${value?.detail}`), {
        status: response.status,
        body: value,
      });
    }
    return value;
  }

  // Makes the first admin if there is none yet; does not log in.
  async setup(username, password) {
    const { setup_required: needed } = await this.request('GET', '/auth/status');
    if (needed) await this.request('POST', '/auth/setup', { username, password });
  }

  async login(username, password) {
    const answer = await this.request('POST', '/auth/login', { username, password });
    this.#token = answer.access_token;
    return answer;
  }

  async pendingTool(name) {
    const { items } = await this.request('GET', '/api/approvals/tools');
    return items.find((tool) => tool.name === name);
  }

  async pendingHost(host) {
    const { items } = await this.request('GET', '/api/approvals/network');
    return items.find((request) => request.host === host);
  }

  // Approving names the content that was seen: a tool that changed meanwhile is refused with 409.
  approveTool(tool) {
    return this.request('POST', `/api/approvals/tools/${tool.id}/action`, {
      action: 'approve',
      content_hash: tool.content_hash,
    });
  }

  approveHost(request) {
    return this.request('POST', `/api/approvals/network/${request.id}/action`, { action: 'approve' });
  }

  revokeHost(request) {
    return this.request('POST', `/api/approvals/network/${request.id}/revoke`, {});
  }

  policy(change) {
    return this.request('PATCH', '/api/settings/security-policy', change);
  }
}
