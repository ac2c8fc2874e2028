/* Has one of everything that a checkpoint must bring back, stops in front of a call, and says what is left of it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

static __thread int own = 1;
static char filled[3 * 65536] = {[0 ... 3 * 65536 - 1] = 'f'};
static volatile int handled;

static void handler(int number) { handled += number == SIGUSR1; }

/* What has no file of its own. */
static int told, counts, expires, signals, pairs[2], messages[2], sends;

static void open_others(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(8067)};
    struct itimerspec once = {.it_value = {0, 1}}, later = {.it_value = {1000, 0}, .it_interval = {500, 0}};
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0x1122334455667788};
    int on = 1, late = timerfd_create(CLOCK_MONOTONIC, 0);
    uint64_t ticks;
    sigset_t set;

    counts = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK);
    expires = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    timerfd_settime(expires, 0, &once, NULL);
    timerfd_settime(late, 0, &later, NULL);
    dup2(late, 30);
    close(late);
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signals = signalfd(-1, &set, 0);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pairs);
    socketpair(AF_UNIX, SOCK_DGRAM, 0, messages);
    write(pairs[0], "stream", 6);
    write(pairs[1], "back", 4);
    write(messages[1], "one", 3);
    write(messages[1], "three", 5);
    sends = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(sends, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
    bind(sends, (struct sockaddr *)&address, sizeof address);
    told = epoll_create1(0);
    epoll_ctl(told, EPOLL_CTL_ADD, counts, &event);
    event.data.u64 = 30;
    epoll_ctl(told, EPOLL_CTL_ADD, 30, &event);
    event.data.u64 = 6;
    event.events = EPOLLIN | EPOLLET;
    epoll_ctl(told, EPOLL_CTL_ADD, pairs[0], &event);
    epoll_wait(told, &event, 1, 1000);
    /* It has expired at the latest when this returns, and is read afterwards. */
    event.events = EPOLLIN;
    ticks = epoll_create1(0);
    epoll_ctl(ticks, EPOLL_CTL_ADD, expires, &event);
    epoll_wait(ticks, &event, 1, -1);
    close(ticks);
}

static void use_others(void) {
    struct epoll_event events[8];
    struct signalfd_siginfo info;
    struct itimerspec left;
    char text[64] = "";
    uint64_t number = 0;
    int count, more, last, on = 0;
    socklen_t size = sizeof on;

    read(counts, &number, 8);
    count = read(counts, &number, 8);
    more = read(counts, &number, 8);
    last = read(counts, &number, 8);
    printf("counts %d %d %d %d\n", (int)number, count, more, last);
    read(expires, &number, 8);
    timerfd_gettime(30, &left);
    printf("expired %d, late %d\n", (int)number, left.it_value.tv_sec > 900 && left.it_interval.tv_sec == 500);
    kill(getpid(), SIGHUP);
    read(signals, &info, sizeof info);
    printf("signal %d", info.ssi_signo);
    read(pairs[1], text, 63);
    printf(" %s", text);
    memset(text, 0, sizeof text);
    read(pairs[0], text, 63);
    write(pairs[1], text, 4);
    printf(" %s", text);
    count = read(messages[0], text, 63);
    more = read(messages[0], text, 63);
    printf(" %d %d\n", count, more);
    write(counts, &(uint64_t){7}, 8);
    count = epoll_wait(told, events, 8, 1000);
    for (int i = 0; i < count; i++)
        for (int j = 0; j < count; j++)
            if (events[j].data.u64 == (i ? 6 : 0x1122334455667788)) printf("told %llx ", (long long)events[j].data.u64);
    getsockopt(sends, SOL_SOCKET, SO_BROADCAST, &on, &size);
    printf("%d, broadcast %d\n", count, on);
}

static int watch(const char *path, int events) {
    static int watching = -1;
    if (watching < 0) watching = inotify_init1(IN_NONBLOCK);
    inotify_add_watch(watching, path, events);
    return watching;
}

/* Watch with the second and the third number; the first and the fourth are given up. */
static void watch_files(void) {
    char events[512];

    inotify_rm_watch(watch("/", IN_CREATE), 1);
    watch("/made", IN_OPEN | IN_CREATE);
    watch("/made/../made/file", IN_MODIFY | IN_ONESHOT);
    inotify_rm_watch(watch("/", IN_CREATE), 4);
    read(watch("/made", IN_OPEN | IN_CREATE), events, sizeof events);
}

static void tell_watched(void) {
    char events[512] __attribute__((aligned(8)));
    int watching = watch("/made", IN_OPEN), count = read(watching, events, sizeof events);

    printf("watched");
    for (int at = 0; at < count;) {
        struct inotify_event *event = (struct inotify_event *)(events + at);
        printf(" %d %x %s,", event->wd, event->mask, event->len ? event->name : "");
        at += sizeof *event + event->len;
    }
    printf(" next %d\n", inotify_add_watch(watching, "/", IN_CREATE));
}

static void wait_for(int child) {
    if (child == 0) _exit(0);
    waitpid(child, NULL, 0);
}

int main(int argc, char **argv) {
    double sum = 0;
    volatile double third = 1.0 / 3;
    int pipes[2], file, listening, quiet;
    char text[64] = "", *heap, *map, *fixed, *code, *top, *shared;
    int left = 0;
    struct flock lock = {.l_type = F_WRLCK, .l_start = 3, .l_len = 4};
    struct rlimit limit = {70, 90};
    stack_t stack = {.ss_size = 65536}, found;
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(8099)};
    socklen_t length = sizeof address;
    sigset_t set;

    own = argc + 41;
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    sigaddset(&set, SIGSEGV);
    sigaddset(&set, 45);
    sigprocmask(SIG_BLOCK, &set, NULL);
    heap = malloc(3000000);
    memset(heap, 'h', 3000000);
    map = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(map, 'm', 5000);
    fixed = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    strcpy(fixed, "read only by now");
    mprotect(fixed, 8192, PROT_READ);
    setrlimit(RLIMIT_NOFILE, &limit);
    setrlimit(RLIMIT_CORE, &limit);
    setrlimit(RLIMIT_MEMLOCK, &limit);
    prctl(PR_SET_NAME, "another name");
    stack.ss_sp = malloc(65536);
    sigaltstack(&stack, NULL);
    alarm(3000);
    memset(filled, 0, sizeof filled);
    code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    strcpy(code, "one page of code");
    mprotect(code, 4096, PROT_READ | PROT_EXEC);
    shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    strcpy(shared + 5000, "shared");
    top = sbrk(300000);
    memset(top, 'b', 300000);
    brk(top + 5000);
    mkdir("/made", 0750);
    file = open("/made/file", O_RDWR | O_CREAT | O_APPEND, 0640);
    write(file, "0123456789", 10);
    lseek(file, 4, SEEK_SET);
    quiet = open("/dev/null", O_WRONLY);
    dup2(file, 20);
    fcntl(20, F_SETFD, FD_CLOEXEC);
    close(quiet);
    pipe(pipes);
    write(pipes[1], "in the pipe", 11);
    listening = socket(AF_INET, SOCK_STREAM, 0);
    bind(listening, (struct sockaddr *)&address, sizeof address);
    listen(listening, 3);
    open_others();
    watch_files();
    flock(file, LOCK_EX);
    fcntl(file, F_SETLK, &lock);
    wait_for(fork());
    umask(037);
    chdir("/made");
    for (int i = 1; i < 1000; i++) sum += third / i;
    errno = ERANGE;
    printf("before\n");
    fflush(stdout);

    getppid();

    printf("errno %d own %d heap %d map %d %s\n", errno, own, heap[2999999], map[4999], fixed);
    for (unsigned i = 0; i < sizeof filled; i++) left += filled[i];
    printf("filled %d %s %s heap at %d", left, code, shared + 5000, (int)((char *)sbrk(0) - top));
    sbrk(300000);
    for (int i = 5000; i < 300000; i++) left += top[i];
    printf(" %d %d\n", top[4999], left);
    getrlimit(RLIMIT_NOFILE, &limit);
    printf("limits %d %d", (int)limit.rlim_cur, (int)limit.rlim_max);
    getrlimit(RLIMIT_CORE, &limit);
    printf(" %d %d", (int)limit.rlim_cur, (int)limit.rlim_max);
    getrlimit(RLIMIT_MEMLOCK, &limit);
    prctl(PR_GET_NAME, text);
    sigaltstack(NULL, &found);
    left = alarm(0);
    printf(" %d %d name %s stack %d %d alarm %d\n", (int)limit.rlim_cur, (int)limit.rlim_max, text,
           found.ss_sp == stack.ss_sp, (int)found.ss_size, left > 2000 && left <= 3000);
    memset(text, 0, sizeof text);
    for (int i = 1000; i < 2000; i++) sum += third / i;
    printf("sum %.12f\n", sum);
    raise(SIGUSR1);
    sigprocmask(SIG_BLOCK, NULL, &set);
    printf("handled %d blocked %d %d", handled, sigismember(&set, SIGWINCH), sigismember(&set, SIGUSR2));
    printf(" %d %d\n", sigismember(&set, SIGSEGV), sigismember(&set, 45));
    printf("read %d", (int)read(file, text, 63));
    printf(" %s same offset %d cloexec %d\n", text, (int)lseek(20, 0, SEEK_CUR), fcntl(20, F_GETFD));
    use_others();
    memset(text, 0, sizeof text);
    read(pipes[0], text, 63);
    getsockname(listening, (struct sockaddr *)&address, &length);
    printf("pipe %s listens %d umask %o\n", text, ntohs(address.sin_port), umask(0));
    write(file, "end", 3);
    file = open("file", O_RDONLY);
    printf("locked %d", flock(file, LOCK_EX | LOCK_NB));
    fflush(stdout);
    left = fork();
    if (left == 0) {
        fcntl(20, F_GETLK, &lock);
        printf(" type %d from %d for %d", lock.l_type, (int)lock.l_start, (int)lock.l_len);
        fflush(stdout);
    }
    wait_for(left);
    printf(" child %d\n", left);
    memset(text, 0, sizeof text);
    read(file, text, 63);
    printf("%s in %s, descriptor %d\n", text, getcwd(map, 4096), file);
    tell_watched();
    free(heap);
    heap = malloc(5000000);
    heap[4999999] = 'e';
    printf("end %c %s at %p\n", heap[4999999], argv[0], (void *)heap);
    return 0;
}
