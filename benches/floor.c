// The physical floor of one tick on this machine: read the files that the checks read, ask one file system for its
// space, send one body over a kept-alive loopback connection, sleep to the next second. No parsing at all.
// usage: floor PORT BODY_BYTES FILE...
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

static char answer[1 << 16];

int main(int count, char **words) {
  if (count < 3) return 2;
  struct sockaddr_in server = {
      .sin_family = AF_INET, .sin_port = htons(atoi(words[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int line = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(line, (void *)&server, sizeof server)) return 1;

  int body = atoi(words[2]);
  char *request = malloc(body + 256);
  int head = sprintf(request, "POST /floor HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n", body);
  memset(request + head, 'x', body);

  struct timespec due;
  clock_gettime(CLOCK_MONOTONIC, &due);
  for (;;) {
    for (int i = 3; i < count; i++) {
      int file = open(words[i], O_RDONLY);
      while (read(file, answer, sizeof answer) > 0) {
      }
      close(file);
    }
    struct statfs space;
    statfs("/", &space);
    if (write(line, request, head + body) < 0 || read(line, answer, sizeof answer) <= 0) return 1;
    due.tv_sec++;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, 0);
  }
}
