/*
 * Waits for a variable that nobody changes: without arguments it spins, with one it sleeps between two looks.
 * No libc, so that it is small.
 *   gcc -O1 -nostdlib -ffreestanding -Wl,--build-id -Wl,-z,max-page-size=4096 -s [variant] polls.c
 * with the GCC 12 cross compilers of mips-linux-gnu (big-endian; -static -no-pie -mno-abicalls -fno-pic), and of
 * arm-linux-gnueabi (to run at any address: -fpie -pie -Wl,--no-dynamic-linker).
 */
static volatile int link_state;
static volatile unsigned char phase = 2;
static const struct { long seconds, nanoseconds; } pause_of = {0, 150000000};

#ifdef __mips__
enum { WRITE = 4004, EXIT = 4001, NANOSLEEP = 4166 };
static inline long call(long number, long a, long b, long c)
{
    register long v0 __asm__("$2") = number, a0 __asm__("$4") = a, a1 __asm__("$5") = b, a2 __asm__("$6") = c;
    register long a3 __asm__("$7");
    __asm__ volatile("syscall" : "+r"(v0), "=r"(a3) : "r"(a0), "r"(a1), "r"(a2)
                     : "$1", "$3", "$8", "$9", "$10", "$11", "$12", "$13", "$14", "$15", "$24", "$25", "memory");
    return v0;
}
#else
enum { WRITE = 4, EXIT = 1, NANOSLEEP = 162 };
static inline long call(long number, long a, long b, long c)
{
    register long r7 __asm__("r7") = number, r0 __asm__("r0") = a, r1 __asm__("r1") = b, r2 __asm__("r2") = c;
    __asm__ volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2) : "memory");
    return r0;
}
#endif

__attribute__((noinline)) void wait_a_little(void) { call(NANOSLEEP, (long)&pause_of, 0, 0); }

__attribute__((noinline)) void work(long words)
{
    call(WRITE, 1, (long)"waiting\n", 8);
    if (words > 1)
        while (phase != 5)
            wait_a_little();
    else
        while (link_state == 0)
            ;
    call(WRITE, 1, (long)"started\n", 8);
    call(EXIT, 0, 0, 0);
}

#ifdef __mips__
__asm__(".globl __start\n__start:\n lw $4, 0($sp)\n addiu $sp, $sp, -32\n jal work\n nop\n");
#else
__asm__(".globl _start\n_start:\n ldr r0, [sp]\n bl work\n");
#endif
