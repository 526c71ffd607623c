/*
 * The token that proves that a changing request was made by a page that could read our answers.
 * Made of the session alone, so nothing is stored and every instance agrees.  Pure.
 */
#pragma once

#include <stdbool.h>
#include "crypto.h"

#define CSRF_TEXT_SIZE (2 * CRYPTO_HASH_SIZE + 1)

void csrf_token(const char *session, char ret[CSRF_TEXT_SIZE]);
/* presented: value of X-CSRF-Token, may be NULL.  Constant time. */
bool csrf_matches(const char *session, const char *presented);
