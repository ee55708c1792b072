"""A network of its own, for servers that listen on every interface: `unshare --net --map-root-user python …`."""

import fcntl
import socket
import struct
import sys


def raise_loopback():
    """In a new network namespace the loopback interface is down. Leaves with an error where there is another interface."""
    with open("/proc/net/dev") as devices:
        if any(not line.strip().startswith("lo:") for line in devices.readlines()[2:]):
            sys.exit("the server listens on every interface: run this in a network namespace of its own")
    set_flags, up = 0x8914, 0x1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh", b"lo", up))
