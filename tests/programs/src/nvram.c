/* A key store as routers ask it: nvram get NAME..., set NAME=VALUE, unset NAME, all, commit;
   and by calls that know nothing of keys. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
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

/* The mapping for who takes it for the partition behind it: magic, length, version and checksum, two words more. */
static void image(const char *map)
{
  unsigned header[5];

  memcpy(header, map, sizeof header);
  printf("image %d version %u", header[0] == COMMIT && header[1] <= SPACE && header[1] % 4 == 0, header[2] >> 8);
  for (const char *entry = map + sizeof header; *entry && entry < map + header[1]; entry += strlen(entry) + 1)
    if (*entry != 1)
      printf(" %s", entry);
  puts("");
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
  image(map);
}

static void past_the_keys(void)
{
  char name[16] = "lan_ipaddr", rest[8] = "", key[] = "by_part=";
  int ends[2];
  struct iovec parts[2] = { { name, sizeof name }, { rest, sizeof rest } };
  printf("readv %d\n", (int) readv(fd, parts, 2) == (int) sizeof(long));
  parts[0] = (struct iovec) { key, 0 };
  parts[1] = (struct iovec) { key, sizeof key };
  printf("writev %d\n", (int) writev(fd, parts, 2));
  printf("pread %d\n", pread(fd, rest, 4, 0) < 0 ? errno == ESPIPE : -1);
  printf("pwrite %d\n", pwrite(fd, rest, 4, 0) < 0 ? errno == ESPIPE : -1);
  printf("truncate %d\n", ftruncate(fd, 0) < 0 ? errno == EINVAL : -1);
  if (pipe(ends) == 0) {
    printf("splice %d\n", splice(fd, NULL, ends[1], NULL, 4, 0) < 0 ? errno == EINVAL : -1);
    printf("sendfile %d\n", sendfile(ends[1], fd, NULL, 4) < 0 ? errno == EINVAL : -1);
  }
}

int main(int argc, char **argv)
{
  fd = open("/dev/nvram", O_RDWR);
  if (fd < 0) {
    perror("/dev/nvram");
    return 1;
  }
  if (strcmp(argv[1], "past") == 0) {
    past_the_keys();
    return 0;
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
