/* What picolibc wants of a system: streams, exit, time. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>
#define revoke bsd_revoke /* not ours */
#include <unistd.h>
#undef revoke

#include "internal.h"

#define TIMER_HZ 1000000 /* what mtime is taken to count with */

/* A line at a time: a hypercall costs as much as a hundred bytes. */
static char line[256];
static size_t length;

static int flush(FILE *stream)
{
  (void)stream;
  if (length)
    hypercall(HYPERCALL_WRITE, (uintptr_t)line, length);
  length = 0;
  return 0;
}

static int put(char byte, FILE *stream)
{
  line[length++] = byte;
  if (byte == '\n' || length == sizeof line)
    flush(stream);
  return (unsigned char)byte;
}

static int get(FILE *stream)
{
  (void)stream;
  return _FDEV_EOF; /* there is no input */
}

static FILE input = FDEV_SETUP_STREAM(0, get, 0, _FDEV_SETUP_READ);
static FILE output = FDEV_SETUP_STREAM(put, 0, flush, _FDEV_SETUP_WRITE);
static FILE errors = FDEV_SETUP_STREAM(put, 0, flush, _FDEV_SETUP_WRITE);
FILE *const stdin = &input;
FILE *const stdout = &output;
FILE *const stderr = &errors;

_Noreturn void _exit(int code)
{
  flush(0);
  for (;;)
    hypercall(HYPERCALL_EXIT, (uint64_t)(code < 0 || code > EXIT_MAX_PROGRAM ? EXIT_MAX_PROGRAM : code), 0);
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
  (void)zone;
  uint64_t ticks = hypercall(HYPERCALL_TIME, 0, 0);
  if (now) {
    check_extent(now, sizeof *now);
    *now = (struct timeval){(time_t)(ticks / TIMER_HZ), (suseconds_t)(ticks % TIMER_HZ)};
  }
  return 0;
}

time_t time(time_t *where)
{
  time_t now = (time_t)(hypercall(HYPERCALL_TIME, 0, 0) / TIMER_HZ);
  if (where) {
    check_extent(where, sizeof *where);
    *where = now;
  }
  return now;
}

clock_t clock(void)
{
  return (clock_t)(hypercall(HYPERCALL_TIME, 0, 0) * CLOCKS_PER_SEC / TIMER_HZ);
}

clock_t times(struct tms *where)
{
  clock_t now = clock();
  if (where) {
    check_extent(where, sizeof *where);
    *where = (struct tms){.tms_utime = now};
  }
  return now;
}

ssize_t write(int file, const void *bytes, size_t count)
{
  check_extent(bytes, count);
  if (file != 1 && file != 2) {
    errno = EBADF;
    return -1;
  }
  flush(0);
  return (ssize_t)hypercall(HYPERCALL_WRITE, (uintptr_t)bytes & UINT32_MAX, count);
}

ssize_t read(int file, void *bytes, size_t count)
{
  check_extent(bytes, count);
  if (file != 0) {
    errno = EBADF;
    return -1;
  }
  return 0;
}

int open(const char *name, int flags, ...)
{
  (void)name;
  (void)flags;
  errno = ENOENT;
  return -1;
}

int close(int file)
{
  (void)file;
  errno = EBADF;
  return -1;
}

off_t lseek(int file, off_t offset, int whence)
{
  (void)file;
  (void)offset;
  (void)whence;
  errno = EBADF;
  return -1;
}

int unlink(const char *name)
{
  (void)name;
  errno = ENOENT;
  return -1;
}

int kill(pid_t process, int signal)
{
  (void)process;
  _exit(signal);
}

pid_t getpid(void)
{
  return 1;
}
