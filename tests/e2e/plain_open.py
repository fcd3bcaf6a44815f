"""Which markets of a recorded Betfair file stood open at which moment, from the file alone: status of definitions by `pt`."""

from bisect import bisect_left, bisect_right
from collections import defaultdict

from plain_betfair import Fold, lines


class OpenTimes:
    """For each source market the moments at which its status was said, in the file's order."""

    def __init__(self, *paths):
        self._said = defaultdict(list)
        for path in paths:
            fold = Fold()
            for line in lines(path):
                message = fold.apply(line)
                for change in message.get("mc", ()):
                    if "marketDefinition" in change:
                        status = change["marketDefinition"]["status"]
                        self._said[change["id"]].append((message["pt"], status == "OPEN"))
        for said in self._said.values():
            said.sort(key=lambda each: each[0])  # stable: messages of one `pt` keep their order

    def may_be_open(self, market, ts):
        """Say whether some prefix of the file that ends at `ts` leaves the market open; equal times may be cut anywhere."""
        said = self._said[market]
        times = [each[0] for each in said]
        first, end = bisect_left(times, ts), bisect_right(times, ts)
        return any(is_open for _, is_open in said[max(0, first - 1) : end])
