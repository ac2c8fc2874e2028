/* Makes one call a round and computes between them: computes STEPS ROUNDS. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **words) {
    long steps = atol(words[1]), rounds = atol(words[2]);
    volatile unsigned sum = 0;
    for (long round = 0; round < rounds; round++) {
        for (long i = 0; i < steps; i++) sum += i;
        syscall(SYS_getuid);
    }
    return 7;
}
