/* Identifiers.  UUID version 7: sortable by creation time. */
#pragma once

#include <stdint.h>

#define ID_TEXT_SIZE 37
void id_new(char ret[ID_TEXT_SIZE]);
