"""The bytes in `golden/`: requests written by hand, replies recorded from a kernel."""

import pathlib

HERE = pathlib.Path(__file__).with_name("golden")


def read_golden(name: str) -> dict[str, list[bytes]]:
    """The sections of a file, each as its datagrams; what stands before the first is for the reader."""
    sections: dict[str, list[bytes]] = {}
    for section in (HERE / f"{name}.txt").read_text().split("\n= ")[1:]:
        title, _, body = section.partition("\n")
        datagrams = body.split(".\n")[1:] if body.startswith(".\n") else [body]
        sections[title] = [bytes.fromhex(_without_comments(datagram)) for datagram in datagrams]
    return sections


def _without_comments(text: str) -> str:
    return "".join(line.partition("#")[0] for line in text.splitlines())


REQUESTS = {title: datagrams[0] for title, datagrams in read_golden("requests").items()}
REPLIES = read_golden("replies")
FAMILY = 0x17
SEQUENCE = 0x14
