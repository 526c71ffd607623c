/* What the tests of the bus and their peer process share. */
#pragma once

#define PEER_ROOT_KEY "0123456789abcdef0123456789abcdef" /* 32 bytes; a key of tests only */
