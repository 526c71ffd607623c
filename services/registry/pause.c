#include "pause.h"

#include <string.h>
#include "nouns.h"
#include "servers.h"

static int answer(struct work *w, const char *text)
{
	PB(PauseReply) reply = MCPBOX__V1__PAUSE_REPLY__INIT;
	bool all = false;
	int r = store_pause_get(w->tx, &all, &reply.paused_servers, &reply.n_paused_servers);

	if (r != 0)
		return r;
	reply.success = true;
	reply.paused = all;
	reply.message = text ? work_say(w, "%s", text)
			     : pb_text(all ? "All calls are paused." : "Calls are not paused.");
	work_answer(w, &reply.base);
	return 0;
}

int pause_show(struct work *w, const void *message, struct err *err)
{
	(void)message;
	(void)err;
	return answer(w, NULL);
}

int pause_check(struct work *w, const char *server_id, struct err *err)
{
	PB(Server) * server;
	char **names;
	size_t count;
	bool all = false;
	int r = store_pause_lock(w->tx, false);

	if (r == 0)
		r = store_pause_get(w->tx, &all, &names, &count);
	if (r == 0)
		r = store_server_get(w->tx, server_id, false, &server);
	if (r == 0 && (all || server->paused))
		return err_set_field(err, ERR_STATE, NULL, "an administrator resumes them",
				     all ? "all calls are paused"
					 : "the calls of this server are paused");
	return r;
}

/* ---- everything ---------------------------------------------------------------------------------- */

static int move_all(struct work *w, bool paused, struct err *err)
{
	bool before = false;
	char **names;
	size_t count;
	int r = store_pause_get(w->tx, &before, &names, &count);

	w->object_kind = "server";
	w->object_id = "all";
	if (r == 0 && before == paused)
		r = err_set(err, ERR_STATE,
			    paused ? "all calls are paused already" : "calls are not paused");
	if (r == 0)
		r = store_pause_set(w->tx, NULL, paused);
	if (r == 0 && paused)
		r = store_permits_revoke_all(w->tx);
	if (r != 0)
		return r;
	work_audit(w, paused ? "server.paused" : "server.resumed", "server", "all", "ok", NULL);
	return answer(w, paused ? "All calls are paused; those that ran were ended."
				: "Calls may begin again.");
}

/* ---- one server ---------------------------------------------------------------------------------- */

static int move_server(struct work *w, const char *id, bool paused, struct err *err)
{
	PB(Server) * s;
	int r = server_load(w, id, true, &s, err);

	if (r == 0 && s->paused == paused)
		r = err_set(err, ERR_STATE,
			    paused ? "server '%s' is paused already" : "server '%s' is not paused",
			    s->name);
	if (r == 0)
		r = store_pause_set(w->tx, s->id, paused);
	if (r == 0 && paused)
		r = store_permits_revoke(w->tx, s->id, NULL);
	if (r != 0)
		return r;
	work_audit(w, paused ? "server.paused" : "server.resumed", "server", s->id, "ok",
		   json_pack("{s:s}", "name", s->name));
	return answer(w, arena_printf(&w->arena,
				      paused ? "Server '%s' is paused; calls that ran were ended."
					     : "Tools of server '%s' may be called again.",
				      s->name));
}

static int move(struct work *w, const char *server_id, bool paused, struct err *err)
{
	int r = store_pause_lock(w->tx, true);

	if (r != 0)
		return r;
	return server_id[0] ? move_server(w, server_id, paused, err) : move_all(w, paused, err);
}

int pause_begin(struct work *w, const void *message, struct err *err)
{
	return move(w, ((const PB(PauseRequest) *)message)->server_id, true, err);
}

int pause_end(struct work *w, const void *message, struct err *err)
{
	return move(w, ((const PB(ResumeRequest) *)message)->server_id, false, err);
}
