/*
 * A shared object with debug information: a prototype of many kinds, and two variables of one name; no libc.
 *   arm-linux-gnueabihf-gcc -g -gdwarf-4 -O0 -shared -fPIC -nostdlib -ffreestanding -Wl,--build-id=none
 *       -Wl,-z,max-page-size=4096 -fdebug-prefix-map=$PWD=. types.c
 */
struct setting {
    int port;
    char name[16];
};
enum state { IDLE, BUSY };

int start(const struct setting *given, enum state state, char **words, int (*tell)(const char *, int), ...)
{
    unsigned char count = 1;
    {
        int count = state;
        if (count)
            tell(words[count], given->port);
    }
    return count;
}

void stop(void) {}
