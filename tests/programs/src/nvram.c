/* A key store as routers ask it: nvram get NAME..., set NAME=VALUE, unset NAME, all, commit. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SPACE 0x10000
#define COMMIT 0x48534c46

struct request {
  int index;
  int ret;
  char *name;
  char *value;
};

static int fd;

static void ralink(int argc, char **argv)
{
  static char value[SPACE];
  for (int i = 2; i < argc; i++) {
    struct request request = { 0, 0, argv[i], value };
    char *text = strchr(argv[i], '=');
    if (text != NULL) {
      *text = 0;
      request.value = text + 1;
    }
    int rc = ioctl(fd, text != NULL ? 3 : 1, &request);
    if (text == NULL)
      printf("%s=%s (%d)\n", argv[i], value, rc);
  }
}

static void broadcom(int argc, char **argv)
{
  static char all[4096];
  char *map = mmap(NULL, SPACE, PROT_READ, MAP_SHARED, fd, 0);
  for (int i = 2; i < argc; i++) {
    unsigned long at[32];
    if (strchr(argv[i], '=') != NULL || argv[i][0] == '-') {
      const char *text = argv[i] + (argv[i][0] == '-');
      printf("wrote %d\n", (int) write(fd, text, strlen(text) + 1) - (int) strlen(text));
      continue;
    }
    strcpy((char *) at, argv[i]);
    int got = read(fd, at, strlen(argv[i]) + 1 > sizeof at[0] ? strlen(argv[i]) + 1 : sizeof at[0]);
    printf("%s: %s\n", argv[i], got == sizeof at[0] ? map + at[0] : "(none)");
  }
  all[0] = 0;
  int got = read(fd, all, sizeof all);
  for (char *entry = all; entry < all + got && *entry; entry += strlen(entry) + 1)
    printf("%s\n", entry);
  printf("commit %d\n", ioctl(fd, COMMIT, NULL));
}

int main(int argc, char **argv)
{
  fd = open("/dev/nvram", O_RDWR);
  if (fd < 0) {
    perror("/dev/nvram");
    return 1;
  }
  if (strcmp(argv[1], "ralink") == 0)
    ralink(argc, argv);
  else
    broadcom(argc, argv);
  fflush(stdout);
  if (fork() != 0) {
    wait(NULL);
  } else {
    fd = dup(fd);
    if (strcmp(argv[1], "ralink") == 0)
      ralink(3, argv);
    else
      broadcom(3, argv);
  }
  return 0;
}
