/* Handles the signals that are named as arguments, then waits for ever; "-" before a name ignores it. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

static const struct { const char *name; int number; } known[] = {
    {"SIGSEGV", SIGSEGV}, {"SIGTERM", SIGTERM}, {"SIGBUS", SIGBUS}, {"SIGCHLD", SIGCHLD}, {"SIGABRT", SIGABRT},
};

void on_fault(int number, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    _exit(number);
}

int main(int argc, char **argv)
{
    int i;
    unsigned k;

    for (i = 1; i < argc; i++) {
        int ignored = argv[i][0] == '-';
        struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART};

        action.sa_sigaction = on_fault;
        if (ignored) {
            action.sa_flags = 0;
            action.sa_handler = SIG_IGN;
        }
        for (k = 0; k < sizeof known / sizeof *known; k++)
            if (!strcmp(known[k].name, argv[i] + ignored))
                sigaction(known[k].number, &action, NULL);
    }
    for (;;)
        pause();
}
