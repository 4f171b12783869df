/* An exported network on a bare Cortex-M: start-up code, the network's own test, and what a sample
   costs. For qemu, which prints and stops the clock through semihosting (a breakpoint that the
   emulator answers); on a board replace say and leave. `make embed` builds and runs it.

   NETWORK is the exported file, NET its prefix, MULTIPLY_ADDS what a sample takes, TICK the
   instructions of one tick of SysTick. */
#ifndef NETWORK
#define NETWORK "digits.c"
#define NET(name) digits_##name
#define MULTIPLY_ADDS (64 * 16 + 16 * 10)
#endif
#ifndef TICK
#define TICK 40 /* qemu's mps2-an386 at 25 MHz, one instruction per ns with -icount shift=0 */
#endif

#include NETWORK

#define REGISTER(address) (*(volatile uint32_t *)(address))

extern uint32_t stack_top, data_start, data_end, data_in_flash, bss_start, bss_end;
int main(void);
void reset(void);

static void semihosting(uint32_t call, uintptr_t argument)
{
    register uint32_t r0 __asm__("r0") = call;
    register uintptr_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}

static void say(const char *text) { semihosting(4, (uintptr_t)text); }

static void leave(int failed) { semihosting(0x18, failed ? 0x20023 : 0x20026); }

static void say_number(uint32_t n)
{
    char text[11], *at = text + 10;
    *at = 0;
    do *--at = (char)('0' + n % 10);
    while (n /= 10);
    say(at);
}

void reset(void)
{
    for (uint32_t *to = &data_start, *from = &data_in_flash; to < &data_end;) *to++ = *from++;
    for (uint32_t *to = &bss_start; to < &bss_end;) *to++ = 0;
#ifdef __ARM_FP
    REGISTER(0xE000ED88) |= 0xFu << 20; /* lets the program use the floating-point unit */
    __asm__ volatile("dsb\n\tisb");
#endif
    leave(main());
    for (;;) {}
}

static void fault(void)
{
    say("fault\n");
    leave(1);
    for (;;) {}
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    &stack_top,          (const void *)reset, (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault, (const void *)fault};

static float out[10];

int main(void)
{
    const int failed = NET(test)();
    REGISTER(0xE000E014) = 0xFFFFFF; /* SysTick counts down from here */
    REGISTER(0xE000E018) = 0;
    REGISTER(0xE000E010) = 5;
    const uint32_t start = REGISTER(0xE000E018);
    NET(predict_raw)(NET(test_in), out);
    const uint32_t used = ((start - REGISTER(0xE000E018)) & 0xFFFFFF) * TICK;
    const uint32_t each = (used * 10 + MULTIPLY_ADDS / 2) / MULTIPLY_ADDS;
    say(failed ? "the test FAILED at sample " : "test passed: ");
    say_number(failed ? (uint32_t)failed : used);
    say(failed ? "\n" : " instructions for a sample, ");
    if (failed) return 1;
    say_number(each / 10);
    say(".");
    say_number(each % 10);
    say(" per multiply-add\n");
    return 0;
}
