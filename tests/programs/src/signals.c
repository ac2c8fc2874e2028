/* Ignores every signal that can be ignored, raises SIGUSR1 with a handler, then waits for ever. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile sig_atomic_t seen;

static void note(int number)
{
    seen = number;
}

int main(void)
{
    struct sigaction action = {.sa_handler = note};

    for (int number = 1; number < 32; number++)
        signal(number, SIG_IGN);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    printf("handled %d\n", seen == SIGUSR1);
    fflush(stdout);
    for (;;)
        pause();
}
