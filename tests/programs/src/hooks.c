/*
 * Calls for rules: ones that the emulator answers by itself, and ones whose arguments or results are changed.
 * The arguments name the parts to run; each prints one line.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define DRIVER _IOWR('M', 0x41, uint32_t[4])
#define PRIVATE 0x89F1

static int times = 100;

static void show(const char *name, long result)
{
    printf("%s %ld %d\n", name, result, result < 0 ? errno : 0);
    fflush(stdout);
}

/* The driver, when a rule plays it, answers 3 and doubles what it is given. */
static long ask_driver(void)
{
    long right = 0;
    int i;

    for (i = 0; i < times; i++) {
        uint32_t words[4] = {7, (uint32_t)i, 7, 7};

        if (ioctl(1, DRIVER, words) == 3 && words[1] == (uint32_t)(2 * i) && words[0] == 7)
            right++;
    }
    return right;
}

static void *in_thread(void *nothing)
{
    (void)nothing;
    return (void *)ask_driver();
}

static void threads(void)
{
    pthread_t started[3];
    long right = ask_driver();
    int i;

    for (i = 0; i < 3; i++)
        pthread_create(&started[i], NULL, in_thread, NULL);
    right += ask_driver();
    for (i = 0; i < 3; i++) {
        void *more;

        pthread_join(started[i], &more);
        right += (long)more;
    }
    show("threads", right);
}

static void children(void)
{
    int i, status, right = 0;

    for (i = 0; i < 3; i++)
        if (fork() == 0)
            _exit(ask_driver() == times ? 5 : 6);
    while (wait(&status) > 0)
        right += WIFEXITED(status) && WEXITSTATUS(status) == 5;
    show("children", right);
}

static volatile sig_atomic_t handled;

static void on_alarm(int number)
{
    /* No vector instructions: QEMU 7.2 does not align the stack of a handler as x86 has it. */
    static volatile uint32_t words[4];

    (void)number;
    words[0] = 7;
    words[1] = 21;
    if (ioctl(1, DRIVER, words) == 3 && words[1] == 42)
        handled++;
    else
        handled = -1000;
}

/* A read that a signal interrupts: the handler makes hooked calls of its own. */
static void interrupted(void)
{
    struct sigaction action;
    char text[8] = "";
    int ends[2], status;
    long result;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_alarm;
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, NULL);
    if (pipe(ends) < 0)
        return;
    if (fork() == 0) {
        int i;

        for (i = 0; i < 3; i++) {
            usleep(50000);
            kill(getppid(), SIGUSR1);
        }
        usleep(50000);
        status = write(ends[1], "late", 4);
        _exit(status != 4);
    }
    result = read(ends[0], text, 4);
    printf("interrupted %ld %.8s %d\n", result, text, (int)handled);
    fflush(stdout);
    wait(&status);
}

/* A request to a netlink family that the emulator does not know, in the way of netlink(7). */
static void configure(void)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK};
    struct { struct nlmsghdr header; int error; struct nlmsghdr asked; } answer;
    struct { struct nlmsghdr header; char text[8]; } request = {{sizeof request, 0x30, 0, 4711, 0}, "rule"};
    socklen_t size = sizeof address;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 21);
    long result;

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        show("configure", -1);
        return;
    }
    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0 || address.nl_family != AF_NETLINK)
        show("getsockname", -1);
    request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    address.nl_pid = 0;
    result = sendto(fd, &request, sizeof request, 0, (struct sockaddr *)&address, sizeof address);
    if (result != sizeof request)
        show("sent", result);
    size = sizeof address;
    address.nl_pid = address.nl_groups = 9;
    result = recvfrom(fd, &answer, sizeof answer, 0, (struct sockaddr *)&address, &size);
    printf("configure %ld type %d error %d seq %u %u %d from %u %u %u\n", result, answer.header.nlmsg_type,
           answer.error, (unsigned)answer.header.nlmsg_seq, (unsigned)answer.asked.nlmsg_seq,
           (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0, (unsigned)size, (unsigned)address.nl_pid,
           (unsigned)address.nl_groups);
    fflush(stdout);
    close(fd);
}

int main(int argc, char **argv)
{
    int i;

    for (i = 1; i < argc; i++) {
        const char *name = argv[i];

        if (atoi(name) > 0)
            times = atoi(name);
        else if (!strcmp(name, "driver"))
            show(name, ask_driver());
        else if (!strcmp(name, "private")) {
            char request[40] = "wlan0";
            int result = ioctl(1, PRIVATE, request);

            show(name, result);
        } else if (!strcmp(name, "threads"))
            threads();
        else if (!strcmp(name, "configure"))
            configure();
        else if (!strcmp(name, "children"))
            children();
        else if (!strcmp(name, "interrupted"))
            interrupted();
        else if (!strcmp(name, "unknown"))
            show(name, syscall(SYS_bpf, 11, 22, 33));
        else if (!strcmp(name, "netlink"))
            show(name, socket(AF_NETLINK, SOCK_RAW, 21));
        else if (!strcmp(name, "setsockopt")) {
            int fd = socket(AF_UNIX, SOCK_STREAM, 0), value = 1;

            show(name, setsockopt(fd, SOL_SOCKET, 77, &value, sizeof value));
            close(fd);
        } else if (!strcmp(name, "getsockopt")) {
            int fd = socket(AF_UNIX, SOCK_STREAM, 0), value = 1;
            socklen_t size = sizeof value;
            int result = getsockopt(fd, SOL_SOCKET, 77, &value, &size);

            printf("%s %d %d %d\n", name, result, result < 0 ? errno : 0, value);
            fflush(stdout);
            close(fd);
        } else if (!strcmp(name, "write"))
            show(name, write(1, "one two three\n", 14));
        else if (!strcmp(name, "open"))
            show(name, open("/etc/missing.conf", O_RDONLY));
        else if (!strcmp(name, "uname")) {
            struct utsname system;
            int result = uname(&system);

            printf("uname %d %s\n", result, system.release);
            fflush(stdout);
        } else if (!strcmp(name, "sendto")) {
            int ends[2];
            char text[8] = "";

            socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends);
            /* Six arguments: the last two are on the stack on MIPS o32. */
            show(name, sendto(ends[0], "abcdef", 6, MSG_DONTWAIT, NULL, 0));
            show("received", recv(ends[1], text, sizeof text, MSG_DONTWAIT));
            close(ends[0]);
            close(ends[1]);
        }
    }
    return 0;
}
