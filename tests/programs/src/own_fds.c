/* Uses the descriptors of its emulator: own_fds MODE NUMBER, where NUMBER is the emulator's log. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static void say(const char *what, long result) {
    int error = result < 0 ? errno : 0;
    char marker[64];
    printf("%s %d\n", what, error);
    fflush(stdout);
    snprintf(marker, sizeof marker, "/after-%s", what);
    access(marker, 0);
}

static void use(int fd) {
    char data[8] = "1 x(\n";
    struct iovec vector = {data, 5};
    struct epoll_event event = {0};
    struct sockaddr_un address = {AF_UNIX, "\0" "name"};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    int pipes[2], file = open("/bin/own_fds", O_RDONLY), poll = epoll_create1(0);
    loff_t at = 0;
    pipe(pipes);
    write(pipes[1], data, 5);
    say("lseek", lseek(fd, 0, SEEK_SET));
    say("dup", dup(fd));
    say("dup2", dup2(fd, 40));
    say("dup3", dup3(fd, 41, O_CLOEXEC));
    say("F_DUPFD", fcntl(fd, F_DUPFD, 3));
    say("F_SETFL", fcntl(fd, F_SETFL, 0));
    say("ioctl", ioctl(fd, FIONREAD, &at));
    say("mmap", (long)mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0));
    say("ftruncate", ftruncate(fd, 0));
    say("fallocate", fallocate(fd, 3, 0, 4096));
    say("pwrite", pwrite(fd, data, 5, 0));
    say("pwritev", pwritev(fd, &vector, 1, 0));
    say("writev", writev(fd, &vector, 1));
    say("sendfile", sendfile(fd, file, 0, 5));
    say("splice", splice(pipes[0], 0, fd, 0, 5, 0));
    say("vmsplice", vmsplice(fd, &vector, 1, 0));
    say("tee", tee(pipes[0], fd, 5, 0));
    say("copy_file_range", copy_file_range(file, &at, fd, 0, 5, 0));
    say("fchmod", fchmod(fd, 0));
    say("fchown", fchown(fd, 0, 0));
    say("fsetxattr", fsetxattr(fd, "user.a", data, 1, 0));
    say("flock", flock(fd, LOCK_EX));
    say("connect", connect(fd, (void *)&address, 7));
    say("bind", bind(fd, (void *)&address, 7));
    say("sendmsg", sendmsg(fd, &message, 0));
    say("epoll", epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event));
}

static int send_over(int fd) {
    int pair[2];
    char data = 0;
    struct iovec vector = {&data, 1};
    union { struct cmsghdr header; char space[CMSG_SPACE(sizeof fd)]; } control = {0};
    struct msghdr message = {0, 0, &vector, 1, &control, CMSG_SPACE(sizeof fd), 0};
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    return sendmsg(pair[0], &message, 0);
}

int main(int count, char **words) {
    int fd = atoi(words[2]);
    char path[64];
    if (!strcmp(words[1], "use")) use(fd);
    if (!strcmp(words[1], "send")) say("send", send_over(fd));
    if (!strcmp(words[1], "absent")) {
        struct epoll_event event = {0};
        int poll = epoll_create1(0);
        say("open", epoll_ctl(poll, EPOLL_CTL_MOD, fd, &event));
        say("closed", epoll_ctl(poll, EPOLL_CTL_MOD, fd + 300, &event));
        say("ftruncate", ftruncate(fd + 300, 0));
        say("write", write(fd + 300, "x", 1));
    }
    if (!strcmp(words[1], "shorten")) {
        say("before", 0);
        say("lseek", lseek(fd, 0, SEEK_SET));
        say("ftruncate", ftruncate(fd, 0));
        say("pwrite", pwrite(fd, "\n\n\n\n", 4, 0));
    }
    if (!strcmp(words[1], "open")) {
        static const char *shapes[] = {"/proc/self/fd/%d", "/proc/thread-self/fd/%d", "/dev/fd/%d", "/link/%d"};
        symlink("/proc/self/fd", "/link");
        for (int i = 0; i < 4; i++) {
            snprintf(path, sizeof path, shapes[i], fd);
            say(shapes[i], open(path, O_RDWR));
        }
        snprintf(path, sizeof path, "/proc/%d/fd/%d", getpid(), fd);
        say("own", open(path, O_WRONLY));
        snprintf(path, sizeof path, "%d", fd);
        say("at", openat(open("/proc/self/fd", O_RDONLY), path, O_WRONLY));
        chdir("/proc/self/fd");
        say("cwd", open(path, O_WRONLY | O_TRUNC));
        say("usual", open("/proc/self/fd/0", O_RDONLY));
    }
    if (!strcmp(words[1], "hide")) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        symlink(path, "/hidden");
        say("hidden", open("/hidden", O_WRONLY));
        symlink("/proc/self", "/me");
        snprintf(path, sizeof path, "/me/fd/%d", fd);
        say("below", open(path, O_WRONLY));
        symlink("fd", "/directory");
        chdir("/proc/self/task");
        snprintf(path, sizeof path, "../../self/./root/me/fd/%d", fd);
        say("turns", open(path, O_RDWR));
        snprintf(path, sizeof path, "/proc/self/fd/%d/%d", open("/proc/self/fd", O_RDONLY), fd);
        say("twice", open(path, O_RDWR));
        symlink("/loop", "/loop");
        say("loop", open("/loop", O_RDWR));
        say("usual", open("/me/../thread-self/fd/0", O_RDONLY));
    }
    if (!strcmp(words[1], "lengthen")) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        symlink(path, "/hidden");
        say("link", truncate(path, 1L << 30));
        say("before", 0);
        say("hidden", syscall(SYS_truncate, "/hidden", 1L << 30));
        say("after", 0);
    }
    if (!strcmp(words[1], "forge")) {
        static const char forged[] = "1 openat(AT_FDCWD,\"/forged\",O_RDONLY) = 77\n";
        say("before", 0);
        say("write", write(fd, forged, strlen(forged)));
        for (int other = fd - 3; other < fd + 30; other++)
            if (write(other, forged, strlen(forged)) >= 0) say("other", 0);
        fflush(stdout);
        if (!fork()) {
            for (int other = fd - 3; other < fd + 30; other++)
                if (write(other, forged, strlen(forged)) >= 0) say("child", 0);
            _exit(0);
        }
        wait(0);
        if (count > 3) execl(words[3], words[3], "forge", words[2], (char *)0);
    }
    if (!strcmp(words[1], "disturb")) {
        for (int i = 0; i < 300; i++) getppid();
        /* What stands before the text of the next call makes it unreadable. */
        write(fd, "1 openat(AT_FDCWD,\"", 19);
        say("mount", mount("none", "/tmp", "tmpfs", 0, 0));
        write(fd, "1 openat(AT_FDCWD,\"", 19);
        say("kill", kill(1, SIGKILL));
        write(fd, "1 openat(AT_FDCWD,\"", 19);
        printf("uid %d\n", (int)getuid());
        fflush(stdout);
    }
    return 5;
}
