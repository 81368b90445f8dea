/* statvfs(3) as $LIES says of some paths; a line of it: path, block size, blocks, free, available, inodes, free inodes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

static int answer(const char *path, struct statvfs *to, const char *real) {
    char of[512];
    unsigned long long n[6];
    FILE *lies = fopen(getenv("LIES"), "r");
    while (lies && fscanf(lies, "%511s %llu %llu %llu %llu %llu %llu", of, n, n + 1, n + 2, n + 3, n + 4, n + 5) == 7) {
        if (strcmp(of, path) == 0) {
            memset(to, 0, sizeof *to);
            to->f_bsize = to->f_frsize = n[0];
            to->f_blocks = n[1], to->f_bfree = n[2], to->f_bavail = n[3];
            to->f_files = n[4], to->f_ffree = to->f_favail = n[5];
            fclose(lies);
            return 0;
        }
    }
    if (lies) fclose(lies);
    int (*ask)(const char *, struct statvfs *) = dlsym(RTLD_NEXT, real);
    return ask(path, to);
}

int statvfs(const char *path, struct statvfs *to) { return answer(path, to, "statvfs"); }
int statvfs64(const char *path, struct statvfs64 *to) { return answer(path, (struct statvfs *)to, "statvfs64"); }
