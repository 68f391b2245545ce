/* lwIP as Espressif's NONOS SDK has it, as far as memory and behaviour go: one segment per pbuf of full size, every
   structure from the heap, the same windows. */
#ifndef ESPBROKER_LWIPOPTS_H
#define ESPBROKER_LWIPOPTS_H

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0
#define LWIP_IPV6 0
#define LWIP_STATS 0
#define LWIP_NOASSERT 1

/* Memory: everything from the one heap. */
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define MEM_ALIGNMENT 4
#define LWIP_NETIF_TX_SINGLE_PBUF 1

#define LWIP_ARP 1
#define ARP_TABLE_SIZE 10
#define ARP_QUEUEING 1
#define IP_FORWARD 0
#define IP_REASSEMBLY 0
#define IP_FRAG 0
#define LWIP_ICMP 1
#define LWIP_RAW 1
#define LWIP_DHCP 0
#define LWIP_DNS 1
#define DNS_TABLE_SIZE 4
#define DNS_MAX_SERVERS 2
#define LWIP_UDP 1

#define LWIP_TCP 1
#define TCP_MSS 1460
#define TCP_WND (4 * TCP_MSS)
#define TCP_SND_BUF (2 * TCP_MSS)
/* Two short segments for each connection and room for acknowledgements of the rest. */
#define TCP_SND_QUEUELEN 8
#define TCP_QUEUE_OOSEQ 1
#define TCP_LISTEN_BACKLOG 0
#define TCP_OVERSIZE TCP_MSS
#define LWIP_CALLBACK_API 1
/* Nobody asks for it; with it a connection takes 8 bytes more. */
#define LWIP_TCP_KEEPALIVE 0
/* Segments that were sent stay with the board's Ethernet only while it copies them. */
#define LWIP_WND_SCALE 0

#endif
