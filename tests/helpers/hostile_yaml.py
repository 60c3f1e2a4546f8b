"""Yaml texts that would take a machine's memory or time, or run something, if they were let."""

from __future__ import annotations


def bombs() -> dict[str, str]:
    """Texts of any yaml that stand for far more than they say, or that take long to read."""
    levels = "".join(f"b{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 11))
    merged = "".join(
        f"b{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 11)
    )
    return {
        "aliases of aliases": f"a: &a0 [x, x, x, x, x, x, x, x, x, x]\n{levels}",
        "merges of merges": f"a: &a0 {{x: 1}}\n{merged}",
        "a list in itself": "a: &a [*a]",
        "a mapping in itself": "a: &a {b: *a}",
        "a key in itself": "? &a [*a]\n: 1",
        "a million lists deep": "a: " + "[" * 10**6,
        "a million mappings deep": "{a: " * 10**6,
        "a million dashes deep": "- " * 10**6,
        "a million values": "a: [" + "1," * 1_000_000 + "]",
        "a number in sixties": "a: 1" + ":59" * 300_000,
        "a tagged number in sixties": 'a: !!int "1' + ":59" * 300_000 + '"',
        "a number of many digits": "a: 0x" + "f" * 10**6,
        "many bytes": "a: '" + "x" * 17 * 2**20 + "'",
    }


def broken() -> dict[str, bytes]:
    """What is no yaml of plain data at all."""
    return {
        "a zero byte": b"a: 1\0",
        "all bytes": bytes(range(256)) * 100,
        "utf-16": "a: 1".encode("utf-16"),
        "python's own": b"a: !!python/object/apply:os.system [touch canary]",
        "a python name": b"a: !!python/name:os.system",
        "a tag of its own": b"a: !ours 1",
        "a tag with an escape sequence": b"a: !x%1b[31m 1",
        "a date that there is not": b"a: 2024-99-99",
        "a timestamp that is none": b"a: !!timestamp foo",
        "a float that is none": b'a: !!float ""',
        "two documents": b"a: 1\n---\nb: 2",
        "an alias of nothing": b"a: *b",
        "half of a surrogate": b'a: "\\ud800"',
        "a list as a key": b"{[1]: 2}: 3",
        "a merge with a number": b"a: {<<: 3}",
    }
