/* Prints "structure field offset size" of structures as the kernel's headers declare them. */
#include <stddef.h>

/* linux/if.h would include the C library's own declarations for the sake of this one. */
#define _SYS_SOCKET_H 1
struct sockaddr {
    unsigned short sa_family;
    char sa_data[14];
};

#include <asm/signal.h>
#include <asm/stat.h>
#include <asm/termbits.h>
#include <asm/termios.h>
#include <linux/eventpoll.h>
#include <linux/if.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/netlink.h>
#include <linux/poll.h>
#include <linux/resource.h>
#include <linux/time_types.h>
#include <linux/uio.h>
#include <linux/un.h>
#include <linux/utsname.h>

extern int printf(const char *, ...);

#define SIZE(name, type) printf(#name " - 0 %d\n", (int)sizeof(type))
#define FIELD(name, type, field, shown) \
    printf(#name " " #shown " %d %d\n", (int)offsetof(type, field), (int)sizeof(((type *)0)->field))

#if defined(__arm__) || defined(__i386__) || defined(__mips__) && _MIPS_SIM == _ABIO32 || \
    defined(__powerpc__) && !defined(__powerpc64__)
typedef struct stat64 status;
#else
typedef struct stat status;
#endif

int main(void)
{
    SIZE(stat, status);
    FIELD(stat, status, st_dev, st_dev);
    FIELD(stat, status, st_ino, st_ino);
    FIELD(stat, status, st_mode, st_mode);
    FIELD(stat, status, st_nlink, st_nlink);
    FIELD(stat, status, st_uid, st_uid);
    FIELD(stat, status, st_gid, st_gid);
    FIELD(stat, status, st_rdev, st_rdev);
    FIELD(stat, status, st_size, st_size);
    FIELD(stat, status, st_blksize, st_blksize);
    FIELD(stat, status, st_blocks, st_blocks);
    FIELD(stat, status, st_atime, st_atime);
    FIELD(stat, status, st_mtime, st_mtime);
    FIELD(stat, status, st_ctime, st_ctime);
    SIZE(termios, struct termios);
    FIELD(termios, struct termios, c_lflag, c_lflag);
    FIELD(termios, struct termios, c_line, c_line);
    FIELD(termios, struct termios, c_cc, c_cc);
    SIZE(ifreq, struct ifreq);
    FIELD(ifreq, struct ifreq, ifr_ifrn, ifr_name);
    FIELD(ifreq, struct ifreq, ifr_ifru, ifr_union);
    SIZE(ifconf, struct ifconf);
    FIELD(ifconf, struct ifconf, ifc_len, ifc_len);
    FIELD(ifconf, struct ifconf, ifc_ifcu, ifc_buf);
    SIZE(sockaddr_nl, struct sockaddr_nl);
    FIELD(sockaddr_nl, struct sockaddr_nl, nl_pid, nl_pid);
    FIELD(sockaddr_nl, struct sockaddr_nl, nl_groups, nl_groups);
    SIZE(sockaddr_ll, struct sockaddr_ll);
    FIELD(sockaddr_ll, struct sockaddr_ll, sll_ifindex, sll_ifindex);
    FIELD(sockaddr_ll, struct sockaddr_ll, sll_halen, sll_halen);
    FIELD(sockaddr_ll, struct sockaddr_ll, sll_addr, sll_addr);
    SIZE(epoll_event, struct epoll_event);
    FIELD(epoll_event, struct epoll_event, events, events);
    FIELD(epoll_event, struct epoll_event, data, data);
    SIZE(winsize, struct winsize);
    FIELD(winsize, struct winsize, ws_col, ws_col);
    SIZE(iovec, struct iovec);
    FIELD(iovec, struct iovec, iov_len, iov_len);
    SIZE(timespec, struct __kernel_old_timespec);
    FIELD(timespec, struct __kernel_old_timespec, tv_nsec, tv_nsec);
    SIZE(timespec64, struct __kernel_timespec);
    FIELD(timespec64, struct __kernel_timespec, tv_nsec, tv_nsec);
    SIZE(timeval, struct __kernel_old_timeval);
    FIELD(timeval, struct __kernel_old_timeval, tv_usec, tv_usec);
    SIZE(rlimit, struct rlimit);
    FIELD(rlimit, struct rlimit, rlim_max, rlim_max);
    SIZE(rlimit64, struct rlimit64);
    FIELD(rlimit64, struct rlimit64, rlim_max, rlim_max);
    SIZE(pollfd, struct pollfd);
    FIELD(pollfd, struct pollfd, revents, revents);
    SIZE(sockaddr_in, struct sockaddr_in);
    FIELD(sockaddr_in, struct sockaddr_in, sin_port, sin_port);
    FIELD(sockaddr_in, struct sockaddr_in, sin_addr, sin_addr);
    SIZE(sockaddr_in6, struct sockaddr_in6);
    FIELD(sockaddr_in6, struct sockaddr_in6, sin6_addr, sin6_addr);
    FIELD(sockaddr_in6, struct sockaddr_in6, sin6_scope_id, sin6_scope_id);
    SIZE(sockaddr_un, struct sockaddr_un);
    FIELD(sockaddr_un, struct sockaddr_un, sun_path, sun_path);
    SIZE(utsname, struct new_utsname);
    FIELD(utsname, struct new_utsname, machine, machine);
#if !defined(__arm__) && !defined(__i386__)
    /* There the header still declares what the older call of the name takes. */
    SIZE(sigaction, struct sigaction);
    FIELD(sigaction, struct sigaction, sa_handler, sa_handler);
    FIELD(sigaction, struct sigaction, sa_flags, sa_flags);
    FIELD(sigaction, struct sigaction, sa_mask, sa_mask);
#endif
    return 0;
}
