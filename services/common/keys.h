/*
 * Who may speak to whom: the key file of a role.  Only the registry and `up` (mcpboxctl keys init) read
 * the root key; every other role reads a file with its own pair keys and the registry's public keys.
 *
 * File format, text, one entry a line, LF:
 *	mcpbox-keys 1
 *	role gateway
 *	generation 1
 *	pair gateway registry 1 <64 hex>          key of frames from -> to, generation
 *	news status 1 <64 hex>                    seals Status (all roles)
 *	news audit 1 <64 hex>                     seals AuditEvent (registry, admin, ops)
 *	sign 1 <64 hex>                           registry's public key, id = generation
 *	box egress 1 <64 hex>                     (role's own file) secret seed for sealed secrets
 * Unknown kinds of line are refused.  From generation 2 on a file also holds the keys of the generation
 * before, so that services can be restarted one by one during a rotation; `generation` is what seals.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "attrs.h"
#include "crypto.h"
#include "err.h"
#include "frame.h"

enum news_topic { NEWS_STATUS = 0, NEWS_AUDIT = 1, NEWS_COUNT };

struct keys;

int keys_load(const char *path, struct keys **ret, struct err *err) BOX_MUST_CHECK;
/* The same from text; pure, fuzzed. */
int keys_parse(const char *text, size_t len, struct keys **ret, struct err *err) BOX_MUST_CHECK;
/* Text of a role's file, derived from the root key. */
int keys_write_role(const struct secret *root, enum bus_role role, uint32_t generation, int fd,
		    struct err *err) BOX_MUST_CHECK;
/* The registry's own: derived from the root, with the signing key. */
int keys_from_root(const struct secret *root, uint32_t generation, struct keys **ret,
		   struct err *err) BOX_MUST_CHECK;
void keys_free(struct keys *k);

enum bus_role keys_role(const struct keys *k);
uint32_t keys_generation(const struct keys *k);
const uint8_t *keys_pair(const struct keys *k, enum bus_role from, enum bus_role to,
			 uint32_t generation);
const uint8_t *keys_news(const struct keys *k, enum news_topic topic, uint32_t generation);
const uint8_t *keys_verify(const struct keys *k, uint32_t key_id);  /* public key or NULL */
const uint8_t *keys_box(const struct keys *k, uint32_t generation); /* own secret seed or NULL */
/* What is sealed to a role; registry only, else NULL. */
const uint8_t *keys_box_public(const struct keys *k, enum bus_role role, uint32_t generation);
const uint8_t *keys_sign(const struct keys *k, uint32_t *ret_key_id); /* registry only, else NULL */
