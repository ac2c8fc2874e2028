/* Has SIGCONT sent to itself by timers all the time, and computes or makes calls until /tmp/go is there. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile int handled;

static void on_signal(int number)
{
    handled += number == SIGCONT;
}

int main(int argc, char **argv)
{
    int computes = argc > 1 && !strcmp(argv[1], "compute");
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGCONT};
    struct itimerspec often = {{0, 1000000}, {0, 1000000}};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    timer_t timer;
    sigaction(SIGCONT, &action, NULL);
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &often, NULL))
        return 1;
    while (!handled)
        pause();
    printf("ready\n");
    fflush(stdout);
    for (volatile unsigned long round = 0; ; round++)
        if (!computes || round % 1000000 == 0)
            if (!access("/tmp/go", F_OK))
                break;
    printf("went on\n");
    return 0;
}
