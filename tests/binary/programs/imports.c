/*
 * A shared object that calls functions of other objects and holds one string; no libc.
 *   gcc -O2 -shared -fPIC -nostdlib -ffreestanding -Wl,--build-id=none -Wl,-z,max-page-size=4096 [variant] imports.c
 * with the GCC 12 cross compilers of arm-linux-gnueabihf (arm: -marm, thumb: -mthumb), aarch64-linux-gnu and
 * mipsel-linux-gnu.
 */
extern int outside(const char *text);
extern int elsewhere(int value);

__attribute__((noinline)) int inner(int value)
{
    return elsewhere(value + 7) * 3;
}

int caller(int value)
{
    return outside("a text of imports") + inner(value);
}
