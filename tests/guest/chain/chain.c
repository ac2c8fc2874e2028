/*
 * A call chain of known functions that ends in a sleep; no libc, so that a recording holds only this code.
 *
 * The JSON files beside this hold code, stack and registers of it, read through the gdb stub of QEMU 7.2 while
 * it slept, and the symbols as the truth. Built with GCC 12 for each architecture:
 *   gcc -O2 -nostdlib -static -ffreestanding -fno-builtin -fno-stack-protector -fno-inline -fno-ipa-ra
 *       -fno-ipa-cp -fno-ipa-sra -fno-optimize-sibling-calls -fno-pie -no-pie [variant] chain.c
 * variants: arm-a32 -marm; arm-thumb -mthumb; arm-fp -marm -fno-omit-frame-pointer;
 *   mipsel -mno-abicalls -fno-pic; mips the same with -EB; aarch64 none; aarch64-nofp -fomit-frame-pointer
 */
#include <stdarg.h>
#include <stddef.h>

static volatile int depth;
static volatile int keys[4] = {4, 3, 2, 1};
static int (*volatile indirect)(int, const char *);

#define NOINLINE __attribute__((noinline))

#if defined(__arm__)
__attribute__((naked, noinline)) long pause_here(long seconds)
{
    __asm__("push {r7}\n sub sp, sp, #12\n str r0, [sp]\n mov r1, #0\n str r1, [sp, #4]\n mov r0, sp\n"
            "mov r7, #162\n svc #0\n add sp, sp, #12\n pop {r7}\n bx lr");
}
#elif defined(__mips__)
__attribute__((naked, noinline)) long pause_here(long seconds)
{
    __asm__(".set noreorder\n addiu $sp, $sp, -16\n sw $a0, 0($sp)\n sw $0, 4($sp)\n move $a0, $sp\n move $a1, $0\n"
            "li $v0, 4166\n syscall\n jr $ra\n addiu $sp, $sp, 16\n");
}
#else
__attribute__((naked, noinline)) long pause_here(long seconds)
{
    __asm__("sub sp, sp, #16\n stp x0, xzr, [sp]\n mov x0, sp\n mov x1, xzr\n mov x8, #101\n svc #0\n"
            "add sp, sp, #16\n ret");
}
#endif

NOINLINE int fill(char *text, size_t size, int value)
{
    for (size_t i = 0; i < size; i++)
        ((volatile char *)text)[i] = (char)(value + 1);
    return text[size - 1];
}

NOINLINE int sleeper(int value)
{
    int window[6];
    fill((char *)window, sizeof window, value);
    depth += (int)pause_here(1000) + window[2];
    return depth;
}

NOINLINE int variadic(const char *format, ...)
{
    char text[64];
    va_list list;
    va_start(list, format);
    int value = va_arg(list, int);
    va_end(list);
    return sleeper(fill(text, sizeof text, value)) + 1;
}

NOINLINE int early(int value, const char *text)
{
    if (value < 0)
        return depth;
    char big[2000];
    fill(big, sizeof big, value);
    if (big[depth & 1023] == 77)
        return big[3];
    return variadic("%d %s", value, text) + big[depth & 7];
}

NOINLINE int huge(int value, const char *text)
{
    char big[70000];
    fill(big, sizeof big, value);
    return early(value, text) + big[depth & 7];
}

NOINLINE int compare(const int *a, const int *b)
{
    return indirect(*a, "key") - *b;
}

NOINLINE void sort(int *values, size_t count, int (*order)(const int *, const int *))
{
    if (count < 2)
        return;
    sort(values + 1, count - 1, order);
    if (order(values, values + 1) > 0) {
        int other = values[0];
        values[0] = values[1];
        values[1] = other;
    }
    depth++;
}

NOINLINE int sorter(int count)
{
    int copy[count];
    for (int i = 0; i < count; i++)
        copy[i] = keys[i & 3];
    sort(copy, (size_t)count, compare);
    return copy[0];
}

NOINLINE int main(int argc)
{
    indirect = huge;
    return sorter(argc + 3) + 1;
}

#if defined(__arm__)
__asm__(".globl _start\n.type _start, %function\n_start: mov fp, #0\n mov lr, #0\n mov r0, #1\n bl main\n 1: b 1b\n.size _start, .-_start\n");
#elif defined(__mips__)
__asm__(".set noreorder\n.globl __start\n.type __start, @function\n__start: move $ra, $0\n addiu $sp, $sp, -32\n jal main\n li $a0, 1\n 1: b 1b\n nop\n.size __start, .-__start\n");
#else
__asm__(".globl _start\n.type _start, %function\n_start: mov x29, #0\n mov x30, #0\n mov x0, #1\n bl main\n 1: b 1b\n.size _start, .-_start\n");
#endif
