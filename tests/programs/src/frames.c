/*
 * Call chains whose frames are known: each argument chooses one, all of them end in `stop_here`, which waits. SIGUSR1
 * leaves a chain for the next one.
 *
 *   plain      main, nested, wide, sorter, (qsort), compare, stop_here: a variable-length array, a frame of 40 KiB
 *   deep       main, nested, descend (40 times), stop_here
 *   signal     main, nested, wide_signal, faulter, <signal frame>, handler, stop_here: a fault in a leaf
 *   altstack   the same with the handler on a stack of its own, with siginfo
 *   noreturn   main, nested, fatal, stop_here: the call is the last instruction of `fatal`
 *   tail       main, nested, after_tail, stop_here: `before_tail` is left by a jump where the ABI allows it
 *   pointer    main, nested, through, stop_here: a call through a table of functions
 */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <stdnoreturn.h>

#define OWN __attribute__((noinline))

static sigjmp_buf out;

OWN void leave(int number)
{
    (void)number;
    siglongjmp(out, 1);
}

static volatile int sink;
static volatile int one = 1;

OWN int stop_here(int value)
{
    sink = value;
    pause();
    return sink + 1;
}

OWN int compare(const void *left, const void *right)
{
    char text[32];
    memset(text, *(const int *)left, sizeof text);
    sink = text[one];
    if (one == 1) {
        one = 2;
        sink += stop_here(*(const int *)right);
    }
    return *(const int *)left - *(const int *)right + (sink & 0);
}

OWN int sorter(int count)
{
    int keys[64];
    for (int i = 0; i < count; i++)
        keys[i] = count - i;
    qsort(keys, (size_t)count, sizeof *keys, compare);
    return keys[0] + sink;
}

OWN int wide(int value)
{
    volatile char room[40 * 1024];
    room[value] = 1;
    room[sizeof room - 1 - value] = 2;
    return sorter(value + 8) + room[value];
}

OWN int descend(int depth)
{
    volatile int here = depth;
    int result = depth > 1 ? descend(depth - 1) : stop_here(depth);
    return result + here;
}

static void handler(int number)
{
    sink += stop_here(number) + 1;
}

static volatile int faulting;
OWN int faulter(int value)
{
    volatile int local = value + 3;
    *(volatile int *)(long)(faulting * 16) = local;
    return local + 1;
}

OWN int wide_signal(int value)
{
    volatile char room[5000];
    room[value] = 1;
    return faulter(value) + room[value];
}

OWN noreturn void fatal(int value)
{
    volatile int local = value;
    stop_here(local);
    _exit(local);
}

OWN int after_tail(int value)
{
    return stop_here(value + 1) * 2;
}

OWN int before_tail(int value)
{
    sink = value;
    return after_tail(value * 3);
}

OWN int through(int value)
{
    char text[100];
    snprintf(text, sizeof text, "%d", value);
    return stop_here(text[0]) + text[1];
}

static int (*volatile table[])(int) = {through, before_tail};

OWN int nested(const char *kind, int count)
{
    int room[count];
    for (int i = 0; i < count; i++)
        room[i] = sink + i;
    if (!strcmp(kind, "plain"))
        room[0] = wide(count);
    else if (!strcmp(kind, "deep"))
        room[0] = descend(40);
    else if (!strcmp(kind, "signal") || !strcmp(kind, "altstack"))
        room[0] = wide_signal(count);
    else if (!strcmp(kind, "noreturn"))
        fatal(count);
    else if (!strcmp(kind, "tail"))
        room[0] = before_tail(count);
    else if (!strcmp(kind, "pointer"))
        room[0] = table[0](count);
    return room[count / 2] + room[0];
}

int main(int argc, char **argv)
{
    static char stack[65536];
    static int i;
    for (i = 1; i < argc; i++) {
        struct sigaction action = {0};
        action.sa_handler = leave;
        sigaction(SIGUSR1, &action, NULL);
        action.sa_handler = handler;
        if (!strcmp(argv[i], "altstack")) {
            stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
            sigaltstack(&other, NULL);
            action.sa_flags = SA_ONSTACK | SA_SIGINFO;
        }
        sigaction(SIGSEGV, &action, NULL);
        if (!sigsetjmp(out, 1))
            sink = nested(argv[i], (argc > 1) * 6);
    }
    printf("%d\n", sink);
    return 0;
}
