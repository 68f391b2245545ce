/* The C side of foreign.rs, compiled by GCC: each function computes something of everything that it is passed. */
#include <stdarg.h>
#include <stdint.h>

struct small { uint8_t tag; uint16_t count; };
struct medium { uint32_t low; uint64_t high; int16_t rest; };
struct large { uint64_t words[6]; float ratio; };
struct floating { double first; float second; };

struct small foreign_small(struct small value, uint32_t by) {
    struct small result = { (uint8_t)(value.tag + by), (uint16_t)(value.count * by) };
    return result;
}

struct medium foreign_medium(uint8_t before, struct medium value, uint8_t after) {
    struct medium result = { value.low ^ before, value.high / (after | 1u), (int16_t)(value.rest - after) };
    return result;
}

struct large foreign_large(struct large value, uint32_t index) {
    value.words[index % 6] *= 3;
    value.ratio = value.ratio * 0.5f;
    return value;
}

struct floating foreign_floating(struct floating value) {
    struct floating result = { value.first / 3.0, (float)value.first + value.second };
    return result;
}

uint64_t foreign_wide(uint32_t a, uint64_t b, uint32_t c, uint64_t d) {
    return a * b + c / (d | 1) + b % (d | 1);
}

int64_t foreign_nine(int8_t a, int16_t b, int32_t c, int64_t d, uint8_t e, uint16_t f, uint32_t g, uint64_t h, double i) {
    return a + 3 * b + 5 * (int64_t)c + 7 * d + 11 * e + 13 * f + 17 * (int64_t)g + 19 * (int64_t)h + (int64_t)i;
}

uint32_t foreign_callback(uint32_t (*call)(void *context, struct medium value, uint8_t step), void *context, uint32_t count) {
    uint32_t sum = 0;
    for (uint32_t step = 0; step < count; step++) {
        struct medium value = { step * 7u, (uint64_t)step << 33 | sum, (int16_t)-step };
        sum = sum * 31 + call(context, value, (uint8_t)step);
    }
    return sum;
}

/* A letter for each argument: i int, l 64 bits, d double, p pointer to uint32_t. */
uint64_t foreign_variadic(const char *letters, ...) {
    va_list arguments;
    uint64_t sum = 0;
    va_start(arguments, letters);
    for (; *letters; letters++) {
        switch (*letters) {
        case 'i': sum = sum * 31 + (uint32_t)va_arg(arguments, int); break;
        case 'l': sum = sum * 31 + va_arg(arguments, uint64_t); break;
        case 'd': sum = sum * 31 + (uint64_t)(int64_t)(va_arg(arguments, double) * 16.0); break;
        case 'p': sum = sum * 31 + *va_arg(arguments, uint32_t *); break;
        }
    }
    va_end(arguments);
    return sum;
}
