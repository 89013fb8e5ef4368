/* What every function of the ABI asks first: whether its sizes can be, and whether its pointers point somewhere. */
#ifndef ODY_ABI_CHECKS_H
#define ODY_ABI_CHECKS_H

#include <stddef.h>
#include <stdint.h>

/* The product of sizes, which no array of doubles may exceed; 0 returned where it would. A size of 0 makes all of it 0. */
static inline int abi_product(size_t *result, const size_t *sizes, size_t count) {
    size_t product = 1;
    *result = 0;
    for (size_t i = 0; i < count; i++)
        if (sizes[i] == 0) return 1;
    for (size_t i = 0; i < count; i++)
        if (__builtin_mul_overflow(product, sizes[i], &product) || product > PTRDIFF_MAX / sizeof(double)) return 0;
    *result = product;
    return 1;
}

static inline int abi_present(const void *const *pointers, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!pointers[i]) return 0;
    return 1;
}

/* Declares `name`, the product of the sizes. */
#define ELEMENTS(name, ...)                                                                                            \
    size_t name;                                                                                                       \
    if (!abi_product(&name, (const size_t[]){__VA_ARGS__}, sizeof((const size_t[]){__VA_ARGS__}) / sizeof(size_t)))    \
    return ODY_INVALID_DIMENSION

/* Where there are elements, none of the pointers may be NULL. */
#define POINTERS(elements, ...)                                                                                        \
    if ((elements) && !abi_present((const void *const[]){__VA_ARGS__}, sizeof((const void *const[]){__VA_ARGS__}) / sizeof(void *))) \
    return ODY_NULL_POINTER

#define DONE(failed) return (failed) ? ODY_OUT_OF_MEMORY : ODY_OK

#endif
