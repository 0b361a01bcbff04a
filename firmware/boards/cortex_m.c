/* Cortex-M4, M7 or M55 as QEMU emulates it: reset, semihosting, and instructions counted with SysTick.

   With -icount shift=0 each instruction takes a nanosecond of virtual time, so a tick of the SysTick timer is
   a fixed number of instructions. */

#include "board.h"

#include <string.h>

int main(void);

extern uint32_t data_in_flash[], data_begin[], data_end[], bss_begin[], bss_end[], stack_top[];

static volatile uint32_t *const systick = (uint32_t *)0xe000e010; /* control, reload, value */
static volatile uint32_t *const cpacr = (uint32_t *)0xe000ed88;

#define SYSTICK_TICKS 0x1000000u
static volatile uint32_t systick_rounds;

enum { SYS_WRITE0 = 0x04, SYS_EXIT_EXTENDED = 0x20 };
enum { APPLICATION_EXIT = 0x20026, RUN_TIME_ERROR = 0x20023 };

static void semihosting(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void board_write(const char *text)
{
    semihosting(SYS_WRITE0, text);
}

uint64_t board_instructions(void)
{
    uint32_t rounds, left;
    do {
        rounds = systick_rounds;
        left = systick[2];
    } while (rounds != systick_rounds);
    uint64_t ticks = (uint64_t)rounds * SYSTICK_TICKS + (left ? SYSTICK_TICKS - left : 0);
    return ticks * 1000000000u / SYSTICK_HZ;
}

static _Noreturn void board_exit(uint32_t reason, uint32_t code)
{
    uint32_t block[] = {reason, code};
    semihosting(SYS_EXIT_EXTENDED, block);
    for (;;)
        ;
}

static void reset(void)
{
    *cpacr |= 0xfu << 20; /* floating point, and MVE where there is any */
    __asm__ volatile("dsb\n isb" ::: "memory");
    memcpy(data_begin, data_in_flash, (size_t)((uint8_t *)data_end - (uint8_t *)data_begin));
    memset(bss_begin, 0, (size_t)((uint8_t *)bss_end - (uint8_t *)bss_begin));
    systick[1] = SYSTICK_TICKS - 1;
    systick[2] = 0;
    systick[0] = 7; /* processor clock, interrupt, on */
    board_exit(APPLICATION_EXIT, (uint32_t)main());
}

static void fault(void)
{
    board_write("the processor faulted\n");
    board_exit(RUN_TIME_ERROR, 1);
}

static void systick_round(void)
{
    systick_rounds++;
}

typedef void (*Handler)(void);

/* Stack, reset, then the exceptions in their order. */
__attribute__((section(".vectors"), used)) static const Handler vectors[] = {
    (Handler)stack_top, reset, fault, fault, fault, fault, fault, fault, 0, 0, 0, fault, fault, 0, fault,
    systick_round,
};
