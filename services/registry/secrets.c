/*
 * Secrets of servers.  Anyone who writes tools makes places for them; an administrator fills them.  A value goes in
 * sealed (seal.c) and is in no answer, no audit row, no stored reply.
 */
#include <ctype.h>
#include <string.h>
#include "checks.h"
#include "data_keys.h"
#include "hosts.h"
#include "id.h"
#include "nouns.h"
#include "seal.h"
#include "servers.h"

enum {
	KEY_MAX = 255,
	VALUE_MAX = 10000,
	HOSTS_MAX = 32,
	ALL_MAX = 128 * 1024 /* of one server; they travel in its grant */
};

/* LLMs may write it as they like; people keep to capitals, as environment variables are written. */
static bool is_key(const char *s, size_t len, bool capitals)
{
	if (len == 0 || len > KEY_MAX || isdigit((unsigned char)s[0]) || (capitals && s[0] == '_'))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isascii((unsigned char)s[i]) ||
		    !(isalnum((unsigned char)s[i]) || s[i] == '_') ||
		    (capitals && islower((unsigned char)s[i])))
			return false;
	return true;
}

static int check_key(const char *field, ProtobufCBinaryData key, bool capitals, struct err *err)
{
	if (key.len == 0)
		return err_set_field(err, ERR_INVALID, field, NULL, "the secret's %s is missing",
				     field);
	if (is_key((const char *)key.data, key.len, capitals))
		return 0;
	return err_set_field(err, ERR_INVALID, field, "for example API_KEY",
			     "a secret's name has %s, digits and underscores, at most 255",
			     capitals ? "capital letters" : "letters");
}

static json_t *secret_detail(const PB(Secret) * s)
{
	json_t *hosts = json_array(), *places = json_array();

	for (size_t i = 0; i < s->n_hosts; i++)
		json_array_append_new(hosts, json_string(s->hosts[i]));
	for (size_t i = 0; i < s->n_places; i++)
		json_array_append_new(places, json_string(s->places[i]));
	return json_pack("{s:s, s:s, s:s, s:o, s:o}", "server_id", s->server_id, "key", s->key_name,
			 "mode", s->mode, "hosts", hosts, "places", places);
}

/* ---- making a place ------------------------------------------------------------------------------ */

struct place {
	const char *server_id;
	const char *field; /* what the door calls the key */
	ProtobufCBinaryData key, description;
	bool capitals;
};

static int create(struct work *w, const struct place *p, PB(Secret) * s, struct err *err)
{
	PB(Server) * server;
	char id[ID_TEXT_SIZE];
	int r = server_load(w, p->server_id, true, &server, err);

	if (r == 0)
		r = check_key(p->field, p->key, p->capitals, err);
	if (r == 0)
		r = check_text("description", p->description, TEXT_MAX, err);
	if (r != 0)
		return r;
	id_new(id);
	s->id = arena_str(&w->arena, id);
	s->server_id = server->id;
	s->key_name = arena_dup(&w->arena, p->key.data, p->key.len);
	s->mode = arena_str(&w->arena, "inject");
	if (p->description.len) {
		s->description_opt_case = MCPBOX__V1__SECRET__DESCRIPTION_OPT_DESCRIPTION;
		s->description = p->description;
	}
	r = store_secret_create(w->tx, s);
	if (r == -ERR_EXISTS)
		return err_set_field(err, ERR_EXISTS, p->field, NULL,
				     "server '%s' has a secret named '%s' already", server->name,
				     s->key_name);
	if (r == 0)
		work_audit(w, "secret.created", "secret", s->id, "ok", secret_detail(s));
	return r;
}

int secret_create(struct work *w, const void *message, struct err *err)
{
	const PB(CreateServerSecretRequest) *in = message;
	const struct place p = { in->server_id, "key", in->key, in->description, false };
	PB(CreateServerSecretReply) reply = MCPBOX__V1__CREATE_SERVER_SECRET_REPLY__INIT;
	PB(Secret) s = MCPBOX__V1__SECRET__INIT;
	int r = create(w, &p, &s, err);

	if (r != 0)
		return r;
	reply.success = true;
	reply.server_id = s.server_id;
	reply.key = s.key_name;
	if (s.description_opt_case) {
		reply.description_opt_case =
			MCPBOX__V1__CREATE_SERVER_SECRET_REPLY__DESCRIPTION_OPT_DESCRIPTION;
		reply.description = s.description;
	}
	reply.message = work_say(
		w, "There is a place for '%s' now; an administrator sets its value.", s.key_name);
	work_answer(w, &reply.base);
	return 0;
}

static int answer_secret(struct work *w, const char *server_id, const char *key)
{
	PB(SecretReply) reply = MCPBOX__V1__SECRET_REPLY__INIT;
	int r = store_secret_get(w->tx, server_id, key, false, &reply.secret);

	if (r == 0)
		work_answer(w, &reply.base);
	return r;
}

int secret_add(struct work *w, const void *message, struct err *err)
{
	const PB(AddSecretRequest) *in = message;
	const struct place p = { in->server_id, "key_name", in->key_name, in->description, true };
	PB(Secret) s = MCPBOX__V1__SECRET__INIT;
	int r = create(w, &p, &s, err);

	return r == 0 ? answer_secret(w, s.server_id, s.key_name) : r;
}

/* ---- lists --------------------------------------------------------------------------------------- */

static PB(SecretBrief) * brief_of(struct work *w, const PB(Secret) * s)
{
	PB(SecretBrief) *b = arena_msg(&w->arena, &mcpbox__v1__secret_brief__descriptor);

	b->key = s->key_name;
	b->has_value = s->has_value;
	if (s->description_opt_case) {
		b->description_opt_case = MCPBOX__V1__SECRET_BRIEF__DESCRIPTION_OPT_DESCRIPTION;
		b->description = s->description;
	}
	return b;
}

int secret_brief_list(struct work *w, const void *message, struct err *err)
{
	const PB(ListServerSecretsRequest) *in = message;
	PB(ListServerSecretsReply) reply = MCPBOX__V1__LIST_SERVER_SECRETS_REPLY__INIT;
	PB(Secret) * *rows;
	PB(Server) * server;
	int r = server_load(w, in->server_id, false, &server, err);

	if (r == 0)
		r = store_secret_list(w->tx, in->server_id, &rows, &reply.n_secrets);
	if (r != 0)
		return r;
	reply.secrets = arena_pointers(&w->arena, reply.n_secrets);
	for (size_t i = 0; i < reply.n_secrets; i++)
		reply.secrets[i] = brief_of(w, rows[i]);
	reply.server_id = server->id;
	reply.server_name = server->name;
	reply.total = (uint32_t)reply.n_secrets;
	work_answer(w, &reply.base);
	return 0;
}

int secret_list(struct work *w, const void *message, struct err *err)
{
	const PB(ListSecretsRequest) *in = message;
	PB(ListSecretsReply) reply = MCPBOX__V1__LIST_SECRETS_REPLY__INIT;
	PB(Server) * server;
	int r = server_load(w, in->server_id, false, &server, err);

	if (r == 0)
		r = store_secret_list(w->tx, in->server_id, &reply.items, &reply.n_items);
	if (r != 0)
		return r;
	reply.total = (uint32_t)reply.n_items;
	work_answer(w, &reply.base);
	return 0;
}

/* ---- setting, deleting --------------------------------------------------------------------------- */

static int load(struct work *w, const char *server_id, const char *key, PB(Secret) * *ret,
		struct err *err)
{
	PB(Server) * server;
	int r = server_load(w, server_id, true, &server, err);

	if (r != 0)
		return r;
	r = store_secret_get(w->tx, server_id, key, true, ret);
	if (r == -ERR_NOT_FOUND)
		return err_set_field(err, ERR_NOT_FOUND, "key", NULL,
				     "server '%s' has no secret of that name", server->name);
	if (r == 0) {
		w->object_kind = "secret";
		w->object_id = (*ret)->id;
	}
	return r;
}

static int take_hosts(struct work *w, const PB(SetSecretRequest) * in, PB(Secret) * s,
		      struct err *err)
{
	char entry[300];

	if (in->n_hosts > HOSTS_MAX)
		return err_set_field(err, ERR_INVALID, "hosts", NULL, "at most %d hosts",
				     HOSTS_MAX);
	/* Setting a new value must not loose an old one's bonds. */
	if (in->n_hosts == 0)
		return 0;
	if (in->n_hosts == 1 && strcmp(in->hosts[0], "*") == 0) {
		s->n_hosts = 0;
		return 0;
	}
	s->hosts = arena_pointers(&w->arena, in->n_hosts);
	for (size_t i = 0; i < in->n_hosts; i++) {
		struct host_entry h;
		int r = host_parse(in->hosts[i], strlen(in->hosts[i]), &h, err);

		if (r < 0)
			return r;
		host_format(&h, false, entry);
		s->hosts[i] = arena_str(&w->arena, entry);
	}
	s->n_hosts = in->n_hosts;
	return 0;
}

static int take_mode(struct work *w, const char *mode, PB(Secret) * s, struct err *err)
{
	if (mode[0] == '\0')
		return 0;
	if (strcmp(mode, "inject") != 0 && strcmp(mode, "reveal") != 0)
		return err_set_field(err, ERR_INVALID, "mode", NULL,
				     "mode must be inject or reveal");
	s->mode = arena_str(&w->arena, mode);
	return 0;
}

static int take_places(struct work *w, const PB(SetSecretRequest) * in, PB(Secret) * s,
		       struct err *err)
{
	static const char *const known[] = { "header", "query", "path", "body" };
	bool wanted[ARRAY_LEN(known)] = { false };

	for (size_t i = 0; i < in->n_places; i++) {
		size_t k = 0;

		while (k < ARRAY_LEN(known) && strcmp(known[k], in->places[i]) != 0)
			k++;
		if (k == ARRAY_LEN(known))
			return err_set_field(err, ERR_INVALID, "places", NULL,
					     "places are header, query, path and body");
		wanted[k] = true;
	}
	if (in->n_places == 0)
		return 0;
	s->n_places = 0;
	s->places = arena_pointers(&w->arena, ARRAY_LEN(known));
	for (size_t k = 0; k < ARRAY_LEN(known); k++)
		if (wanted[k])
			s->places[s->n_places++] = arena_str(&w->arena, known[k]);
	return 0;
}

static int check_size(struct work *w, const PB(Secret) * s, size_t value_len, struct err *err)
{
	int64_t others;
	int r = store_secret_sizes(w->tx, s->server_id, s->id, &others);

	if (r != 0)
		return r;
	for (size_t i = 0; i < s->n_hosts; i++)
		value_len += strlen(s->hosts[i]) + 2;
	if (others + (int64_t)value_len <= ALL_MAX)
		return 0;
	return err_set_field(err, ERR_TOO_LARGE, "value", "delete those that are not used",
			     "the secrets of one server may come to %d KiB", ALL_MAX / 1024);
}

static int check_value(ProtobufCBinaryData value, struct err *err)
{
	if (value.len == 0)
		return err_set_field(err, ERR_INVALID, "value", NULL, "the value is missing");
	return check_text("value", value, VALUE_MAX, err);
}

/* Values travel in the grant; whether processes are used again, which is in the spec, hangs on the modes. */
static int build_anew(struct work *w, const char *server_id)
{
	int r = store_server_forget_grant(w->tx, server_id);

	return r == 0 ? store_server_forget_specs(w->tx, server_id) : r;
}

int secret_set(struct work *w, const void *message, struct err *err)
{
	const PB(SetSecretRequest) *in = message;
	BOX_CLEANUP(secret_freep) struct secret *key = NULL;
	uint32_t generation;
	PB(Secret) * s;
	int r = load(w, in->server_id, in->key, &s, err);

	if (r == 0)
		r = work_check_revision(err, in->revision_opt_case, in->revision, s->revision,
					&s->base);
	if (r == 0)
		r = check_value(in->value, err);
	if (r == 0)
		r = take_mode(w, in->mode, s, err);
	if (r == 0)
		r = take_hosts(w, in, s, err);
	if (r == 0)
		r = take_places(w, in, s, err);
	if (r == 0)
		r = check_size(w, s, in->value.len, err);
	if (r == 0)
		r = data_key_newest(w, &generation, &key);
	if (r == 0)
		r = store_secret_set(
			w->tx, s, generation,
			seal_value(&w->arena, key, s->server_id, s->key_name, in->value));
	if (r == 0)
		r = build_anew(w, s->server_id);
	if (r != 0)
		return r;
	work_audit(w, "secret.set", "secret", s->id, "ok", secret_detail(s));
	return answer_secret(w, s->server_id, s->key_name);
}

int secret_delete(struct work *w, const void *message, struct err *err)
{
	const PB(DeleteSecretRequest) *in = message;
	PB(SuccessReply) reply = MCPBOX__V1__SUCCESS_REPLY__INIT;
	PB(Secret) * s;
	int r = load(w, in->server_id, in->key, &s, err);

	if (r == 0)
		r = work_check_revision(err, in->revision_opt_case, in->revision, s->revision,
					&s->base);
	if (r == 0)
		r = store_secret_delete(w->tx, s->id);
	if (r == 0)
		r = build_anew(w, s->server_id);
	/* Grants that still hold it are out; without a value it never was in one. */
	if (r == 0 && s->has_value)
		r = store_permits_revoke(w->tx, s->server_id, NULL);
	if (r != 0)
		return r;
	work_audit(w, "secret.deleted", "secret", s->id, "ok", secret_detail(s));
	reply.success = true;
	reply.message = work_say(w, "The secret '%s' is deleted.", s->key_name);
	work_answer(w, &reply.base);
	return 0;
}
