/* A Linux computer: the one that builds, or an AArch64 one, which qemu-aarch64 emulates. */

#include "board.h"

#include <stdio.h>

void board_write(const char *text)
{
    fputs(text, stdout);
}

uint64_t board_instructions(void)
{
    return 0;
}
