/* Makes calls with strings that look like lines of its emulator's log: log_text CALL. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char text[200];

/* What would end the call REST, a call that is never made, and the beginning of CALL once more. */
static const char *made_up(const char *rest, const char *call) {
    snprintf(text, sizeof text, "a%s\n2 sysinfo(0x1000) = 77\n2 %s(\"", rest, call);
    return text;
}

int main(int count, char **words) {
    const char *call = words[1];
    char *arguments[] = {"x", 0};
    if (!strcmp(call, "mkdir")) syscall(SYS_mkdir, made_up("\",0755) = 0", call), 0755);
    if (!strcmp(call, "failed")) syscall(SYS_mkdir, made_up("\",0755) = -1 errno=22 (Invalid argument)", "mkdir"), 0755);
    if (!strcmp(call, "open")) syscall(SYS_open, made_up("\",O_RDONLY) = 3", call), O_RDONLY);
    if (!strcmp(call, "chdir")) syscall(SYS_chdir, made_up("\") = 0", call));
    if (!strcmp(call, "symlink")) syscall(SYS_symlink, made_up("\",\"b\") = 0", call), "c");
    if (!strcmp(call, "rename")) syscall(SYS_rename, "b", made_up("\") = 0", call));
    if (!strcmp(call, "truncate")) syscall(SYS_truncate, made_up("\",0) = 0", call), 0);
    if (!strcmp(call, "execve")) syscall(SYS_execve, made_up("\",{\"x\",NULL}) = -1 errno=2 (No such file or directory)", call), arguments, arguments + 1);
    if (!strcmp(call, "long")) {
        static char string[120001];
        char *many[] = {string, string, string, 0};
        memset(string, 'a', sizeof string - 1);
        memcpy(string + 100000, "\n2 sysinfo(0x1000) = 77\n", 24);
        syscall(SYS_execve, "/none", many, many + 3);
    }
    if (!strcmp(call, "access")) syscall(SYS_access, made_up("\") = 0", call), 0);
    getppid();
    return 0;
}
