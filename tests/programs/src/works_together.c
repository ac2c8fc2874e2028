/* Has several threads that wait in different ways, and one that computes, stops in front of a call, and lets all of them work to the end. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define THREADS 6
#ifdef __i386__
/* QEMU 7.2 has one table of segments for all threads there: after a handler each has the newest one's thread pointer. */
#define SIGNALLED 5
#else
#define SIGNALLED 1
#endif

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER, twice, held;
static pthread_cond_t begin = PTHREAD_COND_INITIALIZER;
static volatile int turn = -1;
static int pipes[2], counts, told, listening, numbers[THREADS];
static __thread int own;
static pthread_t threads[THREADS];
static volatile sig_atomic_t handled_by;

static void handler(int number) { handled_by = (int)syscall(SYS_gettid); }

static void *work(void *argument) {
    int index = (int)(long)argument;
    double sum = index;
    char letter = 0;
    struct epoll_event event;
    struct pollfd descriptor = {.fd = counts, .events = POLLIN};
    sigset_t set;
    struct sockaddr_un peer;
    socklen_t size = sizeof peer;

    own = index * 100;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    if (index == 1) pthread_sigmask(SIG_BLOCK, &set, NULL);
    numbers[index] = (int)syscall(SYS_gettid);
    for (int i = 1; i < 50; i++) sum += 1.0 / i;
    /* Each waits in another way; the others for their turn. */
    if (index == 0) read(pipes[0], &letter, 1);
    if (index == 2 && turn < 0) epoll_wait(told, &event, 1, -1);
    /* Without room for an address QEMU fails on i386 as soon as it logs the call (linux-user/strace.c). */
    if (index == 3) close(accept(listening, (struct sockaddr *)&peer, &size));
    if (index == 4) poll(&descriptor, 1, -1);
    while (index == 5 && turn < 5) {
        for (volatile int i = 0; i < 100000; i++) continue;
        getuid();
    }
    pthread_mutex_lock(&lock);
    while (turn != index) pthread_cond_wait(&begin, &lock);
    for (int i = 1; i < 50; i++) sum += 1.0 / i;
    own += index;
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    printf("thread %d own %d sum %.9f blocks %d %c same number %d\n", index, own, sum, sigismember(&set, SIGUSR2),
           letter ? letter : '-', numbers[index] == (int)syscall(SYS_gettid));
    fflush(stdout);
    turn++;
    pthread_cond_broadcast(&begin);
    pthread_mutex_unlock(&lock);
    return (void *)(long)(index * 11);
}

/* Wait until a thread sleeps in the host's futex or read, and for nothing of the emulator's: twice alike. */
static void await_sleep(int number) {
    char path[64], before[256] = "", now[256];
    for (int alike = 0; alike < 3;) {
        FILE *file;
        snprintf(path, sizeof path, "/proc/self/task/%d/syscall", number);
        memset(now, 0, sizeof now);
        file = fopen(path, "r");
        if (file == NULL) exit(2);
        if (fgets(now, sizeof now, file) == NULL) now[0] = 0;
        fclose(file);
        alike = now[0] >= '0' && now[0] <= '9' && strcmp(now, before) == 0 ? alike + 1 : 0;
        strcpy(before, now);
        usleep(10000);
    }
}

int main(void) {
    pthread_mutexattr_t attributes;
    struct sigaction action = {.sa_handler = handler};
    struct epoll_event event = {.events = EPOLLIN};
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/socket"};
    void *results[THREADS];
    int failed;

    pipe(pipes);
    counts = eventfd(0, 0);
    told = epoll_create1(0);
    epoll_ctl(told, EPOLL_CTL_ADD, counts, &event);
    listening = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(listening, (struct sockaddr *)&address, sizeof address);
    listen(listening, 1);
    sigaction(SIGUSR1, &action, NULL);
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&twice, &attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&held, &attributes);
    pthread_mutex_lock(&twice);
    pthread_mutex_lock(&held);
    for (long i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, work, (void *)i);
    for (int i = 0; i < THREADS; i++) {
        while (*(volatile int *)&numbers[i] == 0) usleep(1000);
        if (i < 5) await_sleep(numbers[i]);
    }
    printf("before\n");
    fflush(stdout);

    getppid();

    failed = pthread_mutex_lock(&twice);
    printf("again %d", failed);
    failed = pthread_mutex_lock(&held);
    printf(" held %d", failed == EDEADLK);
    failed = pthread_mutex_unlock(&held);
    printf(" unlock %d\n", failed);
    fflush(stdout);
    pthread_kill(threads[SIGNALLED], SIGUSR1);
    while (!handled_by) usleep(1000);
    printf("handled where it was sent %d\n", handled_by == numbers[SIGNALLED]);
    fflush(stdout);
    write(pipes[1], "x", 1);
    write(counts, &(uint64_t){1}, 8);
    failed = socket(AF_UNIX, SOCK_STREAM, 0);
    connect(failed, (struct sockaddr *)&address, sizeof address);
    pthread_mutex_lock(&lock);
    turn = 0;
    pthread_cond_broadcast(&begin);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], &results[i]);
    for (int i = 0; i < THREADS; i++) printf("joined %d ", (int)(long)results[i]);
    printf("\n");
    fflush(stdout);
    turn = 2;
    pthread_create(&threads[0], NULL, work, (void *)2L);
    pthread_join(threads[0], results);
    printf("end %d\n", (int)(long)results[0]);
    return 0;
}
