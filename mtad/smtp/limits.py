"""How much clients may ask for: the settings of ``[smtp]`` held against what they do."""

import logging

from mtad.clients.networks import networks
from mtad.clients.rates import Clients, keys
from mtad.config import Config, Smtp

log = logging.getLogger("mtad.smtp")

FILES_ASIDE = 200
"""Open files that are neither clients nor connections to other servers: journal, database,
content, control sockets."""
FIRST_DELAY_SECONDS = 0.5


def in_force(config: Config, open_files: int) -> Smtp:
    """The settings, with no more connections than there can be open files."""
    settings = config.smtp
    room = max(1, open_files - FILES_ASIDE - config.outbound.max_connections)
    if settings.max_connections <= room:
        return settings
    log.warning(
        "smtp.max_connections is %d, but with %d open files there is room for %d: raise the "
        "limit (LimitNOFILE= of a systemd unit, ulimit -n)",
        settings.max_connections,
        open_files,
        room,
    )
    return settings.model_copy(update={"max_connections": room})


def crowded(settings: Smtp, clients: Clients, ip: str, at: float) -> str:
    """Why no further connection from an address is taken; empty when one is."""
    if ip in networks(settings.never_limit):
        return ""
    client, network = keys(ip)
    here, lately = clients.here, clients.connections
    if here[client] >= settings.max_connections_per_ip:
        return "too many connections from your address"
    if here[network] >= settings.max_connections_per_network:
        return "too many connections from your network"
    most = settings.max_connections_per_minute_per_ip
    if most and lately.of(client, at) >= most:
        return "too many connections from your address within a minute"
    most = settings.max_connections_per_minute_per_network
    if most and lately.of(network, at) >= most:
        return "too many connections from your network within a minute"
    return ""


def delay(settings: Smtp, errors: int) -> float:
    """Seconds before the client's so many-th negative reply; each waits twice as long."""
    excess = errors - settings.tarpit_after_errors
    if excess <= 0:
        return 0.0
    return min(settings.tarpit_max_seconds, FIRST_DELAY_SECONDS * (1 << min(excess - 1, 16)))
