/* What the port needs of struct tcp_pcb, whose layout differs between the versions of lwIP. */
#include "lwip/tcp.h"

void espbroker_pcb_set_up(struct tcp_pcb *pcb, u16_t segment);
err_t espbroker_pcb_write(struct tcp_pcb *pcb, const void *bytes, u16_t length, u16_t segment);

/* Fewer bytes of a segment are not worth it, and leave no room for what options lwIP may count in. */
enum { SEGMENT_MIN = 32 };

/* Bounds the segments that a connection sends, and sends small ones at once (no Nagle algorithm). */
void espbroker_pcb_set_up(struct tcp_pcb *pcb, u16_t segment)
{
    if (pcb->mss > segment) {
        pcb->mss = segment;
    }
    tcp_nagle_disable(pcb);
}

/* tcp_write with a copy. With LWIP_NETIF_TX_SINGLE_PBUF lwIP allocates pcb->mss bytes for a segment however few are
   written, so that is less for the moment if no more than `segment` bytes are to be in it. Not for longer: after a loss
   lwIP sends no more than pcb->mss bytes at first. Not while there is a segment that was not sent, as these bytes may
   belong behind it. */
err_t espbroker_pcb_write(struct tcp_pcb *pcb, const void *bytes, u16_t length, u16_t segment)
{
    u16_t mss = pcb->mss;
    err_t result;

    if (segment < SEGMENT_MIN) {
        segment = SEGMENT_MIN;
    }
    if (pcb->unsent == NULL && segment < mss) {
        pcb->mss = segment;
    }
    result = tcp_write(pcb, bytes, length, TCP_WRITE_FLAG_COPY);
    pcb->mss = mss;
    return result;
}
