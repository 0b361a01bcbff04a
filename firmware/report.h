/* Numbers as text, without a libc. */
#ifndef REPORT_H
#define REPORT_H

#include <stddef.h>
#include <stdint.h>

void report_text(const char *text);
void report_number(uint64_t number);
void report_hash(uint64_t hash);

/* Two decimals, rounded; |value| below 2^24. */
void report_float(float value);

/* FNV-1a over the bytes, going on from ``hash``. */
#define HASH_OF_NOTHING 0xcbf29ce484222325u
uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t n_bytes);

#endif
