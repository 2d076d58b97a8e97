/* Text output through the monitor: complete fluid code. */
#ifndef STDIO_H
#define STDIO_H

#include <stddef.h>

/* Knows %s, %c, %d, %u, %x, %lx, %lu, %% and widths such as %-8s, %3u, %02x. Texts up to 160 bytes. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* `count` bytes as they are; returns the number written, or -1. */
long write_bytes(const void *bytes, size_t count);

#endif
