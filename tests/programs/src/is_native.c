/* Tells whether it runs natively: QEMU's user mode has never known rseq(2) and says ENOSYS; a kernel that has it
   refuses these arguments with EINVAL. */
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
    long result = syscall(SYS_rseq, 1L, 0L, 0L, 0L);

    puts(result == -1 && errno == ENOSYS ? "emulated" : "NATIVE");
    return 0;
}
