#include "data_keys.h"

#include "crypto.h"
#include "log.h"
#include "seal.h"

enum { FIRST_GENERATION = 1, WRAPPED_SIZE = CRYPTO_NONCE_SIZE + CRYPTO_KEY_SIZE + CRYPTO_TAG_SIZE };

/* ---- wrapping ------------------------------------------------------------------------------------ */

static void put_u32(uint32_t n, uint8_t ret[4])
{
	for (unsigned i = 0; i < 4; i++)
		ret[i] = (uint8_t)(n >> (8 * i));
}

static void wrap(const struct registry *reg, uint32_t generation, const struct secret *key,
		 uint8_t ret[WRAPPED_SIZE])
{
	uint8_t bound[4];

	put_u32(generation, bound);
	crypto_random(ret, CRYPTO_NONCE_SIZE);
	crypto_seal(reg->wrap_key->data, ret, bound, sizeof(bound), key->data, CRYPTO_KEY_SIZE,
		    ret + CRYPTO_NONCE_SIZE);
}

static int unwrap(const struct registry *reg, uint32_t generation, ProtobufCBinaryData wrapped,
		  struct secret **ret)
{
	BOX_CLEANUP(secret_freep) struct secret *key = NULL;
	uint8_t bound[4];

	if (generation == FIRST_GENERATION) {
		*ret = secret_new(reg->first_data_key->data, CRYPTO_KEY_SIZE);
		return 0;
	}
	if (wrapped.len != WRAPPED_SIZE)
		return -ERR_DENIED;
	put_u32(generation, bound);
	key = secret_new(NULL, CRYPTO_KEY_SIZE);
	if (crypto_open(reg->wrap_key->data, wrapped.data, bound, sizeof(bound),
			wrapped.data + CRYPTO_NONCE_SIZE, wrapped.len - CRYPTO_NONCE_SIZE,
			key->data) < 0)
		return -ERR_DENIED;
	*ret = TAKE(key);
	return 0;
}

/* ---- use ----------------------------------------------------------------------------------------- */

static int load_newest(struct work *w, uint32_t *ret_generation, ProtobufCBinaryData *ret_wrapped)
{
	ROW(DataKeyRow) * row;
	int r = store_data_key_newest(w->tx, &row);

	if (r == -ERR_NOT_FOUND) {
		*ret_generation = FIRST_GENERATION;
		*ret_wrapped = (ProtobufCBinaryData){ 0, NULL };
		return 0;
	}
	if (r == 0) {
		*ret_generation = row->generation;
		*ret_wrapped = row->wrapped;
	}
	return r;
}

int data_key_newest(struct work *w, uint32_t *ret_generation, struct secret **ret)
{
	ProtobufCBinaryData wrapped;
	int r = store_data_keys_lock(w->tx, false);

	if (r == 0)
		r = load_newest(w, ret_generation, &wrapped);
	if (r == 0 && unwrap(w->reg, *ret_generation, wrapped, ret) < 0) {
		log_error("keys.not_unwrapped", F_UINT("generation", *ret_generation));
		r = -ERR_INTERNAL;
	}
	return r;
}

int data_key_open(const struct registry *reg, const char *server_id, const ROW(SecretRow) * row,
		  struct secret **ret)
{
	BOX_CLEANUP(secret_freep) struct secret *key = NULL;
	int r = unwrap(reg, row->key_generation, row->wrapped, &key);

	return r == 0 ? seal_open(key, server_id, row->key_name, row->value, ret) : r;
}

/* ---- rotation ------------------------------------------------------------------------------------ */

static int reseal(struct work *w, uint32_t generation, const struct secret *key,
		  const ROW(SecretRow) * row, struct err *err)
{
	BOX_CLEANUP(secret_freep) struct secret *value = NULL;

	/* A value that is lost already stays lost; but nobody shall throw away the key that it may need. */
	if (data_key_open(w->reg, row->server_id, row, &value) < 0)
		return err_set_field(err, ERR_STATE, "secrets",
				     "set its value again, or delete it, and rotate then",
				     "the value of secret '%s' of server %s does not open; nothing "
				     "was changed",
				     row->key_name, row->server_id);
	return store_secret_reseal(w->tx, row->id, generation,
				   seal_value(&w->arena, key, row->server_id, row->key_name,
					      pb_bytes(value->data, value->len)));
}

static int reseal_all(struct work *w, uint32_t generation, const struct secret *key,
		      size_t *ret_count, struct err *err)
{
	ROW(SecretRow) * *rows;
	int r = store_secret_all_values(w->tx, &rows, ret_count);

	for (size_t i = 0; r == 0 && i < *ret_count; i++)
		r = reseal(w, generation, key, rows[i], err);
	return r;
}

static int make_key(struct work *w, uint32_t *ret_generation, struct secret **ret)
{
	struct secret *key = secret_new(NULL, CRYPTO_KEY_SIZE);
	uint8_t wrapped[WRAPPED_SIZE];
	ProtobufCBinaryData old;
	int r = load_newest(w, ret_generation, &old);

	crypto_random(key->data, key->len);
	*ret = key;
	if (r != 0)
		return r;
	wrap(w->reg, ++*ret_generation, key, wrapped);
	return store_data_key_add(w->tx, *ret_generation,
				  (struct bytes){ wrapped, sizeof(wrapped) });
}

int keys_rotate(struct work *w, const void *message, struct err *err)
{
	PB(RotateKeysReply) reply = MCPBOX__V1__ROTATE_KEYS_REPLY__INIT;
	BOX_CLEANUP(secret_freep) struct secret *key = NULL;
	uint32_t generation = 0;
	size_t count = 0;
	int r = store_data_keys_lock(w->tx, true);

	(void)message;
	w->object_kind = "keys";
	w->object_id = "secrets";
	if (r == 0)
		r = make_key(w, &generation, &key);
	if (r == 0)
		r = reseal_all(w, generation, key, &count, err);
	if (r == 0)
		r = store_data_keys_drop(w->tx, generation);
	if (r == 0)
		r = store_grants_forget(
			w->tx); /* what was sealed for executors and proxies is sealed anew too */
	if (r != 0)
		return r;
	work_audit(w, "keys.rotated", "keys", "secrets", "ok",
		   json_pack("{s:i, s:i}", "generation", (int)generation, "secrets", (int)count));
	reply.success = true;
	reply.generation = generation;
	reply.secrets = (uint32_t)count;
	reply.message = work_say(w, "%zu secrets are sealed with a new key, generation %u.", count,
				 generation);
	work_answer(w, &reply.base);
	return 0;
}
