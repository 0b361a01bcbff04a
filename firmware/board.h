/* What the example needs of a board. boards/ holds one file for each that is known. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

/* Shows a text that ends with a zero. */
void board_write(const char *text);

/* Instructions executed since some moment in the past; 0 on a board that cannot count them. */
uint64_t board_instructions(void);

#endif
