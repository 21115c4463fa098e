"""Who should own which slot: even shares, with the fewest moves. A value module."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from perdure.placement.membership import Membership


def moves(owners: Sequence[Membership], members: Collection[Membership]) -> dict[int, Membership]:
    """The slots that should change their owner, and to whom.

    `owners` says who owns each slot now; whoever is no member loses all of its slots, and members
    end with shares that differ by at most one. Every node comes to the same answer from the same
    rows. Without members nothing moves.
    """
    if not members:
        return {}
    held: dict[Membership, list[int]] = {member: [] for member in members}
    homeless: list[int] = []
    for slot, owner in enumerate(owners):
        held.get(owner, homeless).append(slot)
    share, larger = divmod(len(owners), len(held))
    # The larger shares go to those who hold most, so that nothing moves that need not.
    by_load = sorted(held, key=lambda member: (-len(held[member]), member))
    shares = {member: share + (rank < larger) for rank, member in enumerate(by_load)}
    for member in by_load:
        homeless += held[member][shares[member] :]
        del held[member][shares[member] :]
    homeless.sort()
    found: dict[int, Membership] = {}
    for member in reversed(by_load):
        for _ in range(shares[member] - len(held[member])):
            slot = homeless.pop(0)
            found[slot] = member
    return found
