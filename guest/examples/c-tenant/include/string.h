/* The part of <string.h> that runtime.c provides. The compiler itself may call the first four. */
#ifndef C_TENANT_STRING_H
#define C_TENANT_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *left, const void *right, size_t size);
size_t strlen(const char *text);

#endif
