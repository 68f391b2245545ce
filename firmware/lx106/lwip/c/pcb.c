/* What the port needs of struct tcp_pcb, whose layout differs between the versions of lwIP. */
#include "lwip/tcp.h"

void espbroker_pcb_set_up(struct tcp_pcb *pcb, u16_t segment);

/* Bounds the segments that a connection sends, and sends small ones at once (no Nagle algorithm). */
void espbroker_pcb_set_up(struct tcp_pcb *pcb, u16_t segment)
{
    if (pcb->mss > segment) {
        pcb->mss = segment;
    }
    tcp_nagle_disable(pcb);
}
