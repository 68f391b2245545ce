/* UDP: buffers, addresses and options are lwIP's to lay out, so this much is C. */
#include "lwip/igmp.h"
#include "lwip/pbuf.h"
#include "lwip/udp.h"

#include <string.h>

struct udp_pcb *espbroker_udp_open(u16_t port, udp_recv_fn received, void *argument);
int espbroker_udp_send(struct udp_pcb *pcb, const u8_t address[4], u16_t port, const void *bytes, u16_t length);
void espbroker_udp_join(const u8_t own[4], const u8_t group[4]);

static ip_addr_t address_of(const u8_t bytes[4])
{
    ip_addr_t address;
    memcpy(&address.addr, bytes, 4);
    return address;
}

/* Opens a port on every address; null when it is taken or there is no memory. */
struct udp_pcb *espbroker_udp_open(u16_t port, udp_recv_fn received, void *argument)
{
    struct udp_pcb *pcb = udp_new();

    if (pcb == NULL) {
        return NULL;
    }
    /* What multicast DNS asks for, RFC 6762 section 11. */
    pcb->ttl = 255;
    if (udp_bind(pcb, IP_ADDR_ANY, port) != ERR_OK) {
        udp_remove(pcb);
        return NULL;
    }
    udp_recv(pcb, received, argument);
    return pcb;
}

/* Sends a copy of a datagram; 0 when it could not be sent, and is lost. */
int espbroker_udp_send(struct udp_pcb *pcb, const u8_t address[4], u16_t port, const void *bytes, u16_t length)
{
    ip_addr_t to = address_of(address);
    struct pbuf *pbuf = pbuf_alloc(PBUF_TRANSPORT, length, PBUF_RAM);
    int sent;

    if (pbuf == NULL) {
        return 0;
    }
    memcpy(pbuf->payload, bytes, length);
    sent = udp_sendto(pcb, pbuf, &to, port) == ERR_OK;
    pbuf_free(pbuf);
    return sent;
}

/* Joins a multicast group on the interface with this address, if lwIP has multicast. */
void espbroker_udp_join(const u8_t own[4], const u8_t group[4])
{
#if LWIP_IGMP
    ip_addr_t interface = address_of(own), address = address_of(group);
    igmp_joingroup(&interface, &address);
#else
    (void)own;
    (void)group;
#endif
}
