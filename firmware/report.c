#include "report.h"

#include "board.h"

void report_text(const char *text)
{
    board_write(text);
}

static void report_digits(uint64_t number, unsigned base, unsigned least)
{
    char text[21];
    char *first = text + sizeof text - 1;
    *first = 0;
    for (unsigned n = 0; n < least || number; n++, number /= base)
        *--first = "0123456789abcdef"[number % base];
    board_write(first);
}

void report_number(uint64_t number)
{
    report_digits(number, 10, 1);
}

void report_hash(uint64_t hash)
{
    report_digits(hash, 16, 16);
}

void report_float(float value)
{
    if (value < 0) {
        board_write("-");
        value = -value;
    }
    uint32_t hundredths = (uint32_t)(value * 100.0f + 0.5f);
    report_number(hundredths / 100);
    board_write(".");
    report_digits(hundredths % 100, 10, 2);
}

uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t n_bytes)
{
    const uint8_t *next = bytes;
    while (n_bytes--)
        hash = (hash ^ *next++) * 0x100000001b3u;
    return hash;
}
