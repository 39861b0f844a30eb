"""Which node of a group answers for which VIP on layer 2: each decides alone, by words in one order (ADR 15)."""
