# SPDX-License-Identifier: LGPL-2.1-or-later

"""What is free of a stretch of memory: numbers only."""

import bisect


class Ranges:
    """Disjoint ranges of numbers. Those that touch each other are one."""

    def __init__(self):
        self._begins = []
        self._ends = []
        self.total = 0

    def __iter__(self):
        return zip(self._begins, self._ends)

    def add(self, begin, end):
        """Adds a range that overlaps none that is there."""
        self.total += end - begin
        place = bisect.bisect_left(self._begins, begin)
        if place < len(self._begins) and self._begins[place] == end:
            end = self._ends[place]
            del self._begins[place], self._ends[place]
        if place > 0 and self._ends[place - 1] == begin:
            self._ends[place - 1] = end
        else:
            self._begins.insert(place, begin)
            self._ends.insert(place, end)

    def take(self, size):
        """Removes so much from the smallest range that has it, and returns where it begins; None if there is none."""
        best = None
        for place, (begin, end) in enumerate(self):
            room = end - begin
            if room >= size and (best is None or room < self._ends[best] - self._begins[best]):
                best = place
                if room == size:
                    break
        if best is None:
            return None

        begin = self._begins[best]
        self._begins[best] += size
        if self._begins[best] == self._ends[best]:
            del self._begins[best], self._ends[best]
        self.total -= size
        return begin
