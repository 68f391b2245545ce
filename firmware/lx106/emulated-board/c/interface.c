/* The board's network interface: struct netif and pbufs are lwIP's to lay out, so this much is C. */
#include "lwip/dns.h"
#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/timeouts.h"

#include <string.h>

/* ethernet.rs */
void board_transmit(const struct pbuf *frame);

void board_network_start(const u8_t mac[6], const u8_t address[4], const u8_t mask[4], const u8_t router[4],
                         const u8_t name_server[4]);
int board_network_input(const void *frame, u16_t length);
void board_network_timers(void);
u32_t board_network_patience(void);

static struct netif interface;

static err_t transmit(struct netif *netif, struct pbuf *frame)
{
    (void)netif;
    board_transmit(frame);
    return ERR_OK;
}

static err_t set_up(struct netif *netif)
{
    netif->name[0] = 'e';
    netif->name[1] = 'n';
    netif->mtu = 1500;
    netif->output = etharp_output;
    netif->linkoutput = transmit;
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
    return ERR_OK;
}

static ip4_addr_t address_of(const u8_t bytes[4])
{
    ip4_addr_t address;
    memcpy(&address.addr, bytes, 4);
    return address;
}

/* Starts lwIP with one interface that is up, at a fixed address. */
void board_network_start(const u8_t mac[6], const u8_t address[4], const u8_t mask[4], const u8_t router[4],
                         const u8_t name_server[4])
{
    ip4_addr_t own = address_of(address), net = address_of(mask), gateway = address_of(router);
    ip_addr_t server = address_of(name_server);

    lwip_init();
    interface.hwaddr_len = 6;
    memcpy(interface.hwaddr, mac, 6);
    netif_add(&interface, &own, &net, &gateway, NULL, set_up, netif_input);
    netif_set_default(&interface);
    netif_set_up(&interface);
    dns_setserver(0, &server);
}

/* Gives lwIP a copy of a frame; 0 when there was no memory for it and it is lost. */
int board_network_input(const void *frame, u16_t length)
{
    struct pbuf *pbuf = pbuf_alloc(PBUF_RAW, length, PBUF_RAM);

    if (pbuf == NULL) {
        return 0;
    }
    pbuf_take(pbuf, frame, length);
    if (interface.input(pbuf, &interface) != ERR_OK) {
        pbuf_free(pbuf);
    }
    return 1;
}

/* Runs what is due of lwIP's timers. */
void board_network_timers(void)
{
    sys_check_timeouts();
}

/* Milliseconds until a timer of lwIP's is due. */
u32_t board_network_patience(void)
{
    return sys_timeouts_sleeptime();
}
