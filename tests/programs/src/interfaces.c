/* Says what the requests of netdevice(7) tell of the interface named by the argument, and which interfaces there are,
   one line for each. */
#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/mii.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int asker;
static struct ifreq request;

static int ask(const char *name, unsigned long number)
{
    memset(&request, 0, sizeof(request));
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    return ioctl(asker, number, &request);
}

static const char *address(const struct sockaddr *from)
{
    return inet_ntoa(((const struct sockaddr_in *)from)->sin_addr);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "eth0";
    struct ethtool_value value = {ETHTOOL_GLINK, 7};
    struct ethtool_cmd settings;
    struct ifconf list = {0};
    int size;

    asker = socket(AF_INET, SOCK_DGRAM, 0);
    if (ioctl(asker, SIOCGIFCONF, &list) == 0) {
        size = list.ifc_len;
        list.ifc_buf = calloc(1, (size_t)size);
        if (ioctl(asker, SIOCGIFCONF, &list) == 0) {
            printf("list %d:", list.ifc_len == size);
            for (struct ifreq *one = list.ifc_req; one < list.ifc_req + list.ifc_len / (int)sizeof(*one); one++)
                printf(" %s=%s", one->ifr_name, address(&one->ifr_addr));
            puts("");
        }
    }
    if (ask(name, SIOCGIFINDEX) == 0) {
        int index = request.ifr_ifindex;
        memset(&request, 0, sizeof(request));
        request.ifr_ifindex = index;
        printf("index %d %s\n", index, ioctl(asker, SIOCGIFNAME, &request) == 0 ? request.ifr_name : "?");
    }
    if (ask(name, SIOCGIFFLAGS) == 0)
        printf("flags %x\n", (unsigned)(unsigned short)request.ifr_flags);
    if (ask(name, SIOCGIFADDR) == 0)
        printf("address %s\n", address(&request.ifr_addr));
    if (ask(name, SIOCGIFNETMASK) == 0)
        printf("netmask %s\n", address(&request.ifr_netmask));
    if (ask(name, SIOCGIFHWADDR) == 0)
        printf("hardware %d %02x:%02x\n", request.ifr_hwaddr.sa_family, (unsigned char)request.ifr_hwaddr.sa_data[0],
               (unsigned char)request.ifr_hwaddr.sa_data[5]);
    if (ask(name, SIOCGIFMTU) == 0)
        printf("mtu %d\n", request.ifr_mtu);
    memset(&request, 0, sizeof(request));
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    request.ifr_data = (void *)&value;
    if (ioctl(asker, SIOCETHTOOL, &request) == 0)
        printf("link %u\n", value.data);
    settings.cmd = ETHTOOL_GSET;
    request.ifr_data = (void *)&settings;
    if (ioctl(asker, SIOCETHTOOL, &request) == 0)
        printf("speed %u duplex %u\n", ethtool_cmd_speed(&settings), settings.duplex);
    if (ask(name, SIOCGMIIPHY) == 0) {
        struct mii_ioctl_data *mii = (void *)&request.ifr_data;
        mii->reg_num = MII_BMSR;
        if (ioctl(asker, SIOCGMIIREG, &request) == 0)
            printf("phy %u %s\n", mii->phy_id, mii->val_out & BMSR_LSTATUS ? "linked" : "not linked");
    }
    if (setsockopt(asker, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name) + 1) == 0)
        puts("bound");
    memset(&request, 0, sizeof(request));
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (setsockopt(asker, SOL_SOCKET, SO_BINDTODEVICE, &request, sizeof(request)) == 0)
        puts("bound by request");
    return 0;
}
