/* What lwIP has to know of the compiler and the board. */
#ifndef ESPBROKER_ARCH_CC_H
#define ESPBROKER_ARCH_CC_H

#include <stdint.h>

#define LWIP_NO_UNISTD_H 1
#define LWIP_NO_CTYPE_H 1
#define LWIP_NO_INTTYPES_H 0
#define BYTE_ORDER LITTLE_ENDIAN

uint32_t board_random(void);
#define LWIP_RAND() board_random()

/* Nothing to print to: lwIP's messages are off. */
#define LWIP_PLATFORM_DIAG(x)
#define LWIP_PLATFORM_ASSERT(x)

#endif
