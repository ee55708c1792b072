/* The part of <stdlib.h> that runtime.c provides. */
#ifndef C_TENANT_STDLIB_H
#define C_TENANT_STDLIB_H

#include <stddef.h>

void *malloc(size_t size);
void *realloc(void *block, size_t size);
void free(void *block);
_Noreturn void abort(void);

#endif
