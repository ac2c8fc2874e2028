/*
 * A shared object with a switch of seven cases, which compilers make a jump by a table of; no libc.
 *   gcc -O2 -nostdlib -ffreestanding -Wl,--build-id=none -Wl,-z,max-page-size=4096 [variant] switches.c
 * with the GCC 12 cross compilers of mipsel-linux-gnu (mipsel: -shared -fPIC; mipsel-fixed: -static -no-pie
 * -mno-abicalls -fno-pic -Wl,-e,ways), and of arm-linux-gnueabihf (arm: -shared -fPIC -marm, thumb: -shared -fPIC
 * -mthumb).
 */
void one(int);
void two(int);

__attribute__((noinline)) void one(int value) { __asm__ volatile("" ::"r"(value)); }
__attribute__((noinline)) void two(int value) { __asm__ volatile("" ::"r"(value)); }

void ways(int value)
{
    switch (value) {
    case 0: one(17); one(value); break;
    case 1: two(3); break;
    case 2: one(4); two(9); break;
    case 3: two(11); one(5); break;
    case 4: one(26); two(1); two(2); break;
    case 5: two(27); break;
    case 6: one(8); break;
    default: two(8); one(1); two(5);
    }
}
