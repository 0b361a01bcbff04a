/* A bare AArch64 core on QEMU's "virt" board: start, semihosting, and instructions counted with its timer.

   With -icount shift=0 each instruction takes a nanosecond of virtual time. */

#include "board.h"

int main(void);

enum { SYS_WRITE0 = 0x04, SYS_EXIT = 0x18 };
#define APPLICATION_EXIT 0x20026u

/* The second of four gigabytes holds the RAM. It is cached: only then may vectors lie at any address. */
#define CACHED_BLOCK (0x40000000u | 1u << 10 | 3u << 8 | 1u)             /* accessed, shared */
#define FOUR_GIGABYTES (1u << 23 | 3u << 12 | 1u << 10 | 1u << 8 | 32u) /* shared, one table, cached */
#define NORMAL_MEMORY 0xffu
static _Alignas(32) const uint64_t memory_map[4] = {0, CACHED_BLOCK, 0, 0};
#define MAP_AND_CACHES (1u << 12 | 1u << 2 | 1u)

__asm__(".section .start, \"ax\"\n"
        ".global start\n"
        "start: mov x0, #(3 << 20)\n" /* floating point and vectors */
        "msr cpacr_el1, x0\n"
        "isb\n"
        "ldr x0, =stack_top\n"
        "mov sp, x0\n"
        "b reset\n"
        ".text\n");

static void semihosting(int operation, const void *argument)
{
    register long x0 __asm__("x0") = operation;
    register const void *x1 __asm__("x1") = argument;
    __asm__ volatile("hlt 0xf000" : "+r"(x0) : "r"(x1) : "memory");
}

void board_write(const char *text)
{
    semihosting(SYS_WRITE0, text);
}

uint64_t board_instructions(void)
{
    uint64_t ticks, ticks_hz;
    __asm__ volatile("isb\n mrs %0, cntvct_el0\n mrs %1, cntfrq_el0" : "=r"(ticks), "=r"(ticks_hz)::"memory");
    return ticks * (1000000000u / ticks_hz);
}

_Noreturn void reset(void)
{
    uint64_t control;
    __asm__ volatile("msr mair_el1, %1\n msr tcr_el1, %2\n msr ttbr0_el1, %3\n dsb sy\n isb\n mrs %0, sctlr_el1"
                     : "=r"(control)
                     : "r"((uint64_t)NORMAL_MEMORY), "r"((uint64_t)FOUR_GIGABYTES), "r"(memory_map)
                     : "memory");
    __asm__ volatile("msr sctlr_el1, %0\n isb" ::"r"(control | MAP_AND_CACHES) : "memory");
    uint64_t block[] = {APPLICATION_EXIT, (uint64_t)main()};
    semihosting(SYS_EXIT, block);
    for (;;)
        ;
}
