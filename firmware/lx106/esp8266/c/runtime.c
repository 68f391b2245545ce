/* What the SDK and this program want of a C library, and neither has. Code and constants go to flash by their sections'
   names. */
#include <stddef.h>

#define FLASH __attribute__((section(".irom0.text")))
#define FLASH_CONSTANT __attribute__((section(".irom.text")))

void abort(void) __attribute__((noreturn));
void *memchr(const void *bytes, int byte, size_t length);

/* Ends the program with an illegal instruction: the SDK prints its address, keeps it for the next start and restarts. */
void FLASH abort(void)
{
    for (;;) {
        __asm__ volatile("ill");
    }
}

void FLASH *memchr(const void *bytes, int byte, size_t length)
{
    const unsigned char *place = bytes;
    for (; length > 0; length--, place++) {
        if (*place == (unsigned char)byte) {
            return (void *)place;
        }
    }
    return NULL;
}

/* newlib's classes of characters, with which the SDK's lwIP was compiled: the class of c is at c + 1. */
enum { UPPER = 1, LOWER = 2, DIGIT = 4, SPACE = 8, PUNCTUATION = 16, CONTROL = 32, HEX = 64, BLANK = 128 };

static const unsigned char classes[257] FLASH_CONSTANT = {
    [1 + 0 ... 1 + 8] = CONTROL,
    [1 + '\t' ... 1 + '\r'] = CONTROL | SPACE,
    [1 + 14 ... 1 + 31] = CONTROL,
    [1 + ' '] = SPACE | BLANK,
    [1 + '!' ... 1 + '/'] = PUNCTUATION,
    [1 + '0' ... 1 + '9'] = DIGIT,
    [1 + ':' ... 1 + '@'] = PUNCTUATION,
    [1 + 'A' ... 1 + 'F'] = UPPER | HEX,
    [1 + 'G' ... 1 + 'Z'] = UPPER,
    [1 + '[' ... 1 + '`'] = PUNCTUATION,
    [1 + 'a' ... 1 + 'f'] = LOWER | HEX,
    [1 + 'g' ... 1 + 'z'] = LOWER,
    [1 + '{' ... 1 + '~'] = PUNCTUATION,
    [1 + 127] = CONTROL,
};

extern const unsigned char *const __ctype_ptr__;
const unsigned char *const __ctype_ptr__ FLASH_CONSTANT = classes;
