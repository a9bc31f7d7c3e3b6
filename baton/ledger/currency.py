"""A currency to show amounts in. The ledger stays nano-USD: this is for people to read. Pure."""

import msgspec

MICRO = 10**6
NANO = 10**9


class Currency(msgspec.Struct, frozen=True):
    """What amounts are shown in, and how many millionths of it a US dollar is worth."""

    code: str = "USD"
    micro_per_usd: int = MICRO

    def text(self, amount_nano: int) -> str:
        """nano-USD in this currency, rounded half up to nine digits after the point; two at
        least are shown."""
        scaled = (abs(amount_nano) * self.micro_per_usd + MICRO // 2) // MICRO
        whole, rest = divmod(scaled, NANO)
        digits = f"{rest:09d}".rstrip("0").ljust(2, "0")
        return f"{'-' if amount_nano < 0 and scaled else ''}{whole}.{digits}"
