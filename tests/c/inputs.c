/* What goes into the kernels under test: guarded memory, random numbers, kinds of numbers. */
#define _DEFAULT_SOURCE
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FILLING = 0xa5 };

/* The start of a slot's memory; the pages before and after it are mapped without any right. */
static uint8_t *slot_memory(int slot) {
    static uint8_t *slots[SLOTS];
    if (slots[slot]) return slots[slot];
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *region = mmap(NULL, SLOT_BYTES + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (region == MAP_FAILED || mprotect(region + page, SLOT_BYTES, PROT_READ | PROT_WRITE)) {
        perror("guarded memory");
        exit(2);
    }
    return slots[slot] = region + page;
}

void *placed(int slot, size_t bytes, size_t size, enum place place) {
    uint8_t *memory = slot_memory(slot);
    if (bytes + size > SLOT_BYTES) abort();
    /* Only the neighbourhood is filled and compared: that is where a kernel that goes astray goes first. */
    uint8_t *at = place == AT_END ? memory + SLOT_BYTES - bytes : place == PAST_START ? memory + size : memory;
    memset(place == AT_END ? at - 256 : memory, FILLING, bytes + 256);
    return at;
}

void expect_surroundings_untouched(const char *operation, int slot, const void *at, size_t bytes) {
    const uint8_t *memory = slot_memory(slot), *start = at, *end = start + bytes;
    const uint8_t *low = start - memory > 128 ? start - 128 : memory;
    const uint8_t *high = memory + SLOT_BYTES - end > 128 ? end + 128 : memory + SLOT_BYTES;
    for (const uint8_t *p = low; p < high; p++)
        if ((p < start || p >= end) && *p != FILLING) fail(operation, "wrote at %td of %zu bytes", p - start, bytes);
}

static uint64_t state;

void seed_random(uint64_t seed) { state = seed; }

/* splitmix64 (Steele, Lea and Flood 2014). */
uint64_t random_bits(void) {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

double random_normal(void) {
    double sum = -6;
    for (int i = 0; i < 12; i++) sum += (double)(random_bits() >> 11) * 0x1p-53;
    return sum;
}

size_t length(size_t i) {
    static const size_t large[] = {255, 256, 257, 384, 768, 1000, 1023, 1537, 4099};
    return i <= 130 ? i : large[i - 131];
}

size_t kind_size(enum kind kind) {
    static const size_t sizes[] = {[f32] = 4, [f16] = 2, [bf16] = 2, [i8] = 1, [b1] = 1};
    return sizes[kind];
}

size_t numbers_in(enum kind kind, size_t elements) { return kind == b1 ? 8 * elements : elements; }

static double of_float_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double of_half(uint16_t half) {
    const int exponent = half >> 10 & 31, fraction = half & 1023;
    const double size = exponent == 31 ? (fraction ? NAN : INFINITY)
                        : exponent     ? ldexp(1024 + fraction, exponent - 25)
                                       : ldexp(fraction, -24);
    return half & 0x8000 ? -size : size;
}

/* The nearest of all halves: they ascend with their bits, so halving the interval finds it. */
static uint16_t to_half(double number) {
    if (isnan(number)) return 0x7e00;
    uint16_t below = 0, above = 0x7c00;
    while (above - below > 1) {
        const uint16_t middle = (uint16_t)((below + above) / 2);
        if (of_half(middle) <= fabs(number))
            below = middle;
        else
            above = middle;
    }
    const bool is_nearer =
        fabs(number) >= 65520 || (above < 0x7c00 && of_half(above) - fabs(number) < fabs(number) - of_half(below));
    return (uint16_t)((is_nearer ? above : below) | (signbit(number) ? 0x8000 : 0));
}

static uint16_t to_bf16(double number) {
    const float value = (float)number;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)(isnan(number) ? 0x7fc0 : bits >> 16);
}

double read_number(enum kind kind, const void *from, size_t i) {
    const uint8_t *bytes = from;
    float value;
    uint16_t half;
    switch (kind) {
    case f32:
        memcpy(&value, bytes + 4 * i, 4);
        return value;
    case f16:
        memcpy(&half, bytes + 2 * i, 2);
        return of_half(half);
    case bf16:
        memcpy(&half, bytes + 2 * i, 2);
        return of_float_bits((uint32_t)half << 16);
    case i8:
        return (int8_t)bytes[i];
    case b1:
        return bytes[i / 8] >> (i % 8) & 1;
    }
    abort();
}

void write_number(enum kind kind, void *to, size_t i, double number) {
    uint8_t *bytes = to;
    const float value = (float)number;
    const uint16_t half = kind == f16 ? to_half(number) : to_bf16(number);
    switch (kind) {
    case f32:
        memcpy(bytes + 4 * i, &value, 4);
        return;
    case f16:
    case bf16:
        memcpy(bytes + 2 * i, &half, 2);
        return;
    case i8:
        bytes[i] = (uint8_t)(int8_t)fmax(-128, fmin(127, nearbyint(number)));
        return;
    case b1:
        bytes[i / 8] = (uint8_t)((bytes[i / 8] & ~(1u << i % 8)) | (unsigned)(number > 0) << i % 8);
        return;
    }
}

/* A number for each kind to the greatest effect: sums stay within a float, products of SMALL vanish within one. */
void fill(enum kind kind, void *to, size_t elements, enum pattern pattern) {
    static const double large[] = {[f32] = 1e16, [f16] = 2e4, [bf16] = 1e16, [i8] = 40, [b1] = 1};
    static const double small[] = {[f32] = 1e-40, [f16] = 1e-7, [bf16] = 1e-40, [i8] = 1, [b1] = 1};
    const double greatest = kind == i8 ? -128 : kind == f16 ? 65504 : 1e18;
    for (size_t i = 0; i < numbers_in(kind, elements); i++) {
        const double normal = random_normal();
        const double number = pattern == NORMAL  ? (kind == i8 ? 40 : 1) * normal
                              : pattern == LARGE ? large[kind] * normal
                              : pattern == SMALL ? small[kind] * normal
                              : pattern == EQUAL ? 0.7
                              : pattern == ZERO  ? 0
                              : normal > 0       ? greatest
                                                 : -greatest - (kind == i8);
        write_number(kind, to, i, number);
    }
}
