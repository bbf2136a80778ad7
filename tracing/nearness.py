"""How many slips of a finger lie between two words (PURE).

A slip is a letter too many, one missing, another one in its place, or two neighbours changed
over: the optimal string alignment distance, found up to a bound only, so that very many words
can be looked through.
"""


def slips(one: str, other: str, most: int) -> int:
    """The slips from one to the other; ``most`` + 1 where there are more."""
    if one == other:
        return 0
    if abs(len(one) - len(other)) > most:
        return most + 1
    if len(one) > len(other):
        one, other = other, one
    start = 0
    while start < len(one) and one[start] == other[start]:
        start += 1
    one, other = one[start:], other[start:]
    while one and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, char in enumerate(one, 1):
        oldest, before = before, row
        row = [i] + [most + 1] * len(other)
        for j in range(max(1, i - most), min(len(other), i + most) + 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (char != other[j - 1]))
            if i > 1 and j > 1 and char == other[j - 2] and one[i - 2] == other[j - 1]:
                cost = min(cost, oldest[j - 2] + 1)
            row[j] = cost
        if min(row) > most and min(before) > most - 1:
            return most + 1
    return min(row[-1], most + 1)
