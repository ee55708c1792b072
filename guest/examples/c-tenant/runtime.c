/*
 * What a C policy needs of a C library: memory, and a few functions over bytes. Nothing here knows what
 * the policy does.
 *
 * A policy imports nothing, so it cannot be linked with a libc that expects a system beneath it.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------------------------------------------------- memory */

enum { ALIGNMENT = 16, PAGE = 65536 };

/* The linker puts this symbol behind the stack and the static data: from here on, memory is ours. */
extern unsigned char __heap_base;

/* Where the next block starts; 0 before the first. 64 bits wide, so that no sum of two 32-bit sizes wraps. */
static uint64_t top = 0;

/*
 * Blocks lie one behind the other and are never given back one by one. All go at once, when a call has been answered:
 * see `forget`. If the host grants no more memory the result is NULL, and cabi_realloc in the bindings aborts.
 */
void *malloc(size_t size) {
    uint64_t start = top != 0 ? top : (uintptr_t)&__heap_base;
    start = (start + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    uint64_t end = start + size;
    uint64_t available = (uint64_t)__builtin_wasm_memory_size(0) * PAGE;
    if (end > available) {
        uint64_t pages = (end - available + PAGE - 1) / PAGE;
        if (__builtin_wasm_memory_grow(0, (size_t)pages) == SIZE_MAX) {
            return NULL;
        }
    }
    top = end;
    return (void *)(uintptr_t)start;
}

/*
 * Blocks carry no size, so this copies as many bytes as the new block holds. Those beyond the old block are of no use
 * to anyone; they exist, because the new block lies behind the old one, and memmove takes care that they may overlap.
 */
void *realloc(void *block, size_t size) {
    void *larger = malloc(size);
    if (block != NULL && larger != NULL) {
        memmove(larger, block, size);
    }
    return larger;
}

void free(void *block) {
    (void)block;
}

/* Stops the call. The host denies everything that it was about, and never uses this instance again. */
_Noreturn void abort(void) {
    __builtin_trap();
}

/*
 * A host uses an instance for one request only, so nothing here has to be wiped between users. It may ask about
 * thousands of chunks, though, and each call brings the request and a chunk along: without `forget` the memory limit
 * would end a long search. The host calls cabi_post_* after each call, once it has read the answer, and until the next
 * call begins nobody needs any block.
 */
static void forget(void) {
    top = 0;
}

/* These replace the weak functions of the same names in the bindings, which free the answer piece by piece. */

__attribute__((export_name("cabi_post_tamis:policy/gates@0.1.0#describe")))
void __wasm_export_exports_gates_describe_post_return(uint8_t *answer) {
    (void)answer;
    forget();
}

__attribute__((export_name("cabi_post_tamis:policy/gates@0.1.0#filter-chunk")))
void __wasm_export_exports_gates_filter_chunk_post_return(uint8_t *answer) {
    (void)answer;
    forget();
}

__attribute__((export_name("cabi_post_tamis:policy/gates@0.1.0#rewrite-query")))
void __wasm_export_exports_gates_rewrite_query_post_return(uint8_t *answer) {
    (void)answer;
    forget();
}

/* The bindings call this to pull in an object file that describes the contract. Tamis adds the description itself. */
void __component_type_object_force_link_policy(void) {}

/* --------------------------------------------------------------------------------------------------------- bytes */

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    unsigned char *target = to;
    const unsigned char *source = from;
    for (size_t i = 0; i < size; i++) {
        target[i] = source[i];
    }
    return to;
}

void *memmove(void *to, const void *from, size_t size) {
    unsigned char *target = to;
    const unsigned char *source = from;
    if ((uintptr_t)target <= (uintptr_t)source) {
        return memcpy(to, from, size);
    }
    while (size > 0) {
        size--;
        target[size] = source[size];
    }
    return to;
}

void *memset(void *to, int byte, size_t size) {
    unsigned char *target = to;
    for (size_t i = 0; i < size; i++) {
        target[i] = (unsigned char)byte;
    }
    return to;
}

int memcmp(const void *left, const void *right, size_t size) {
    const unsigned char *l = left;
    const unsigned char *r = right;
    for (size_t i = 0; i < size; i++) {
        if (l[i] != r[i]) {
            return l[i] < r[i] ? -1 : 1;
        }
    }
    return 0;
}

size_t strlen(const char *text) {
    size_t length = 0;
    while (text[length] != '\0') {
        length++;
    }
    return length;
}
