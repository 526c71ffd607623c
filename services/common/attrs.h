/* Compiler attributes, by the names that the code uses. */
#pragma once

#define BOX_MUST_CHECK   __attribute__((warn_unused_result))
#define BOX_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define BOX_NORETURN     __attribute__((noreturn))
#define BOX_UNUSED       __attribute__((unused))
#define BOX_EXPORT       __attribute__((visibility("default")))
#define ARRAY_LEN(a)     (sizeof(a) / sizeof((a)[0]))
