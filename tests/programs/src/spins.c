/* Computes for ever without any call, after one line of output. */
#include <stdio.h>

volatile unsigned long counter;

int main(void)
{
    puts("spinning");
    fflush(stdout);
    for (;;)
        counter++;
}
